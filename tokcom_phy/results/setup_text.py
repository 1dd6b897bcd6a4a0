"""The paragraph "Simulation setup" of a paper, with its table of parameters, from what a run has written down."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tokcom_phy.experiments.resolve import ResolvedLink
from tokcom_phy.results.bibliography import bibtex, cited, model_keys
from tokcom_phy.results.report_words import db
from tokcom_phy.results.run import Run
from tokcom_phy.utils.files import write_atomically
from tokcom_phy.utils.latex import latex_text

TEXT_FILE, BIBLIOGRAPHY = "setup.tex", "setup.bib"


def _number(scale: float, unit: str) -> Callable[[Any], str]:
    return lambda value: f"{value / scale:.4g} {unit}".strip()


def _listed(value: Any) -> str:
    return ", ".join(map(str, value)) or "none"


_WORDS = {
    "ls": "LS estimates",
    "lmmse": "LMMSE",
    "zf": "ZF",
    "mrc": "MRC",
    "mu-mimo": "MU-MIMO",
    "ofdma": "OFDMA",
    "tdma": "TDMA",
    "cp-ofdm": "CP-OFDM",
    "dft-s-ofdm": "DFT-s-OFDM",
    "qpsk": "QPSK",
    "zadoff-chu": "Zadoff-Chu",
    "rayleigh": "Rayleigh",
    "rician": "Rician",
    "wiener": "Wiener",
    "lloyd-max": "Lloyd-Max",
}
"""Values of keys as a paper writes them."""


def _word(value: Any) -> str:
    return _WORDS.get(str(value), str(value))


_PARAMETERS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "fading": ("Fading", _word),
    "channel": ("Channel model", str),
    "k_factor_db": ("Rician K-factor", _number(1, "dB")),
    "delay_spread": ("Delay spread", _number(1e-9, "ns")),
    "speed": ("Speed of the users", _number(1, "m/s")),
    "carrier_frequency": ("Carrier frequency", _number(1e9, "GHz")),
    "subcarrier_spacing": ("Subcarrier spacing", _number(1e3, "kHz")),
    "num_subcarriers": ("Subcarriers", str),
    "num_ofdm_symbols": ("OFDM symbols per slot", str),
    "waveform": ("Waveform", _word),
    "pilot_symbols": ("Pilot symbols", _listed),
    "users": ("Users", _listed),
    "interferers": ("Interferers", _listed),
    "access": ("Multiple access", _word),
    "num_rx_ant": ("Receive antennas", str),
    "csi": ("Channel knowledge", _word),
    "interpolation": ("Interpolation of estimates", _word),
    "combining": ("Combining", _word),
    "power_control": ("Power control", str),
    "amplifier_backoff_db": ("Amplifier back-off", _number(1, "dB")),
    "bits": ("Bits per value", str),
    "quantizer": ("Quantiser", _word),
    "modulation": ("Modulation", str),
    "decoding": ("Decoding", str),
    "adaptation": ("Link adaptation", str),
    "loss_rate": ("Loss rate of packets", str),
    "mean_burst": ("Mean length of a burst", str),
    "packet_symbols": ("Symbols per packet", str),
}
"""Keys of links that a table of parameters shows, in its order."""

_SAY_SOMETHING_FOR = {
    "k_factor_db": ("fading", ("rician",)),
    "power_control": ("channel", ("UMi", "UMa", "RMa", "ray-traced")),
    "delay_spread": ("channel", tuple(f"{model}-{profile}" for model in ("TDL", "CDL") for profile in "ABCDE")),
    "interpolation": ("csi", ("ls",)),
    "pilot_symbols": ("csi", ("ls",)),
}
"""Keys that say something for some values of another key alone."""


def write_setup(run: Run) -> Path:
    r"""Write ``figures/setup.tex`` and ``figures/setup.bib``, to be taken by ``\input`` and ``\bibliography``.

    Returns
    -------
    Path
        The LaTeX file.
    """
    for name, text in {BIBLIOGRAPHY: bibtex(run), TEXT_FILE: setup_text(run)}.items():
        with write_atomically(run.path / "figures" / name) as path:
            path.write_text(text, encoding="utf-8")
    return run.path / "figures" / TEXT_FILE


def setup_text(run: Run) -> str:
    """The paragraph and the table as LaTeX; they need no package."""
    rows = [rf"{latex_text(name)} & {latex_text(value)} \\" for name, value in parameters(run).items()]
    table = [
        r"\begin{table}[t]",
        r"\caption{Simulation parameters}\label{tab:setup}",
        r"\centering\footnotesize",
        r"\begin{tabular}{@{}lp{0.52\linewidth}@{}}",
        r"\hline",
        *rows,
        r"\hline",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join([rf"\paragraph{{Simulation setup}} {_paragraph(run)}", "", *table, ""])


def parameters(run: Run) -> dict[str, str]:
    """The table's rows as plain text: what holds for all links once, else link by link."""
    experiment = run.experiment
    rows = {f"Tokens, {modality}": _lengths(run, modality) for modality in experiment.lengths}
    rows |= {
        "Language model": experiment.foundation,
        **{f"Encoder, {m}": source if isinstance(source, str) else "own" for m, source in experiment.encoders.items()},
        "LoRA rank, scale": f"{experiment.stage2.lora.r}, {experiment.stage2.lora.alpha:g}",
    }
    for name, stage in (("Stage 1", experiment.stage1), ("Stage 2", experiment.stage2)):
        snr = stage.snr_db
        at = db(snr) if isinstance(snr, int | float) else " to ".join(db(end) for end in snr)
        rows[name] = (
            f"{stage.steps} steps of {stage.batch}, learning rate {stage.learning_rate:g}, {stage.link} at {at}"
        )
    snrs = sorted({snr for series in experiment.resolved().series for snr in series.snrs})
    if snrs:
        rows["SNR per antenna"] = ", ".join(f"{snr:g}".replace("-", "−") for snr in snrs) + " dB"
    rows |= dict(_link_rows([link for link in run.links() if link.name in experiment.resolved().evaluated_links]))
    rows["Seeds"] = ", ".join(map(str, experiment.seeds))
    return rows


def _lengths(run: Run, modality: str) -> str:
    lengths = {variant.lengths[modality] for variant in run.experiment.resolved().variants.values()}
    return ", ".join(map(str, sorted(lengths)))


def _link_rows(links: list[ResolvedLink]) -> Iterator[tuple[str, str]]:
    if links:
        yield "Links", ", ".join(link.name for link in links)
    settings = {link.name: _flat(link.settings()) for link in links}
    for key, (label, shown) in _PARAMETERS.items():
        asked = {name: values[key] for name, values in settings.items() if _says_something(key, values)}
        values = {name: shown(value) for name, value in asked.items() if value not in (None, [])}
        if values:
            yield label, by_link(values, partly=len(values) < len(asked))


def by_link(values: Mapping[str, str], partly: bool) -> str:
    """Link → value as text: a value that all links share stands alone, unless some have none (``partly``); of several,
    the one of most links comes last, as that of the others."""
    links: dict[str, list[str]] = {}
    for name, value in values.items():
        links.setdefault(value, []).append(name)
    if len(links) == 1 and not partly:
        return next(iter(links))
    *listed, last = sorted(links, key=lambda value: len(links[value]))
    parts = [f"{', '.join(links[value])}: {value}" for value in listed]
    others = listed and not partly and len(links[last]) > 1
    return "; ".join([*parts, f"others: {last}" if others else f"{', '.join(links[last])}: {last}"])


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a link, with those of the link below a digital one."""
    below = settings.get("over")
    return {**(below if isinstance(below, Mapping) else {}), **settings}


def _says_something(key: str, settings: Mapping[str, Any]) -> bool:
    other, values = _SAY_SOMETHING_FOR.get(key, (key, None))
    return key in settings and (values is None or settings.get(other) in values)


def _paragraph(run: Run) -> str:
    experiment = run.experiment
    resolved = experiment.resolved()
    keys = cited(run)
    versions = run.provenance.get("versions")
    versions = versions if isinstance(versions, Mapping) else {}
    software = ", ".join(
        f"{shown} {versions[name]}" for name, shown in (("sionna", "Sionna"), ("torch", "PyTorch")) if name in versions
    )
    used = [key for key in keys if key.startswith(("ts", "tr", "sionnart"))]
    models = model_keys(run)
    sentences = [
        rf"We simulate token communication~\cite{{tokencommunication}} with tokcom-phy~\cite{{tokcomphy}}"
        rf" on Sionna~\cite{{sionna}}{latex_text(f' ({software})') if software else ''}.",
        latex_text(f"The systems are {_listed(resolved.variants)}."),
        rf"The language model is {_model(experiment.foundation, models)}, adapted by LoRA~\cite{{lora}}; "
        + ", ".join(
            f"{latex_text(modality)} is encoded by {_model(source, models)}"
            for modality, source in experiment.encoders.items()
        )
        + ".",
    ]
    if "tokentransmission" in keys:
        sentences.append(r"Tokens are pooled as in~\cite{tokentransmission}.")
    if used:
        sentences.append(rf"Radio links follow~\cite{{{','.join(used)}}}.")
    if "musicavqa" in keys:
        sentences.append(r"Questions are those of MUSIC-AVQA~\cite{musicavqa}.")
    count, seeds = len(run.questions), len(experiment.seeds)
    basis = (
        f"Accuracies are over {count:,} questions and {seeds} seed{'s' * (seeds != 1)}, with 95 % confidence intervals"
    )
    sentences.append(
        rf"{latex_text(basis)}; SNR is the mean received $E_\mathrm{{s}}/N_0$ per user and receive antenna."
    )
    sentences.append(r"Table~\ref{tab:setup} lists the parameters.")
    return " ".join(sentences)


def _model(source: Any, keys: Mapping[str, str]) -> str:
    if not isinstance(source, str):
        return "an encoder of our own"
    if source in keys:
        return rf"{latex_text(source)}~\cite{{{keys[source]}}}"
    return rf"the small model {latex_text(source)} of~\cite{{tokcomphy}}"
