"""What a run used and a paper should cite, as BibTeX: the method, Sionna, 3GPP's documents, models and datasets."""

from collections.abc import Iterator, Mapping
from typing import Any

from tokcom_phy.results.run import Run
from tokcom_phy.utils.latex import latex_text

_METHOD = "Zhang, Junhe and Ni, Wanli and Wang, Pengwei and Wang, Dongyu"

_ENTRIES: dict[str, tuple[str, dict[str, str]]] = {
    "tokencommunication": (
        "misc",
        {
            "author": _METHOD,
            "title": "Token Communication-Driven Multimodal Large Models in Resource-Constrained Multiuser Networks",
            "year": "2025",
            "howpublished": "arXiv:2505.07841v1",
        },
    ),
    "tokentransmission": (
        "article",
        {
            "author": _METHOD,
            "title": "Task-Oriented Multimodal Token Transmission in Resource-Constrained Multiuser Networks",
            "journal": "IEEE Wireless Communications Letters",
            "year": "2025",
            "doi": "10.1109/LWC.2025.3628928",
            "note": "arXiv:2505.07841v3",
        },
    ),
    "sionna": (
        "misc",
        {
            "author": "Hoydis, Jakob and Cammerer, Sebastian and {Ait Aoudia}, Fay{\\c{c}}al and Vem, Avinash and "
            "Binder, Nikolaus and Marcus, Guillermo and Keller, Alexander",
            "title": "Sionna: An Open-Source Library for Next-Generation Physical Layer Research",
            "year": "2022",
            "howpublished": "arXiv:2203.11854",
        },
    ),
    "sionnart": (
        "misc",
        {
            "author": "Hoydis, Jakob and {Ait Aoudia}, Fay{\\c{c}}al and Cammerer, Sebastian and Nimier-David, Merlin "
            "and Binder, Nikolaus and Marcus, Guillermo and Keller, Alexander",
            "title": "Sionna {RT}: Differentiable Ray Tracing for Radio Propagation Modeling",
            "year": "2023",
            "howpublished": "arXiv:2303.11103",
        },
    ),
    "ts38211": ("techreport", {"title": "{NR}; Physical channels and modulation", "number": "TS 38.211"}),
    "ts38212": ("techreport", {"title": "{NR}; Multiplexing and channel coding", "number": "TS 38.212"}),
    "ts38214": ("techreport", {"title": "{NR}; Physical layer procedures for data", "number": "TS 38.214"}),
    "tr38901": (
        "techreport",
        {
            "title": "Study on channel model for frequencies from 0.5 to 100 {GHz}",
            "number": "TR 38.901",
            "year": "2019",
            "note": "V16.1.0",
        },
    ),
    "lora": (
        "inproceedings",
        {
            "author": "Hu, Edward J. and Shen, Yelong and Wallis, Phillip and Allen-Zhu, Zeyuan and Li, Yuanzhi and "
            "Wang, Shean and Wang, Lu and Chen, Weizhu",
            "title": "{LoRA}: Low-Rank Adaptation of Large Language Models",
            "booktitle": "International Conference on Learning Representations",
            "year": "2022",
        },
    ),
    "musicavqa": (
        "inproceedings",
        {
            "author": "Li, Guangyao and Wei, Yake and Tian, Yapeng and Xu, Chenliang and Wen, Ji-Rong and Hu, Di",
            "title": "Learning to Answer Questions in Dynamic Audio-Visual Scenarios",
            "booktitle": "IEEE/CVF Conference on Computer Vision and Pattern Recognition",
            "year": "2022",
        },
    ),
}

_CHANNELS_OF_3GPP = ("TDL", "CDL", "UMi", "UMa", "RMa")


def cited(run: Run) -> list[str]:
    """Keys of the entries that a run's settings ask for, without those of its models."""
    return list(dict.fromkeys(_cited(run)))


def _cited(run: Run) -> Iterator[str]:
    experiment = run.experiment.resolved()
    yield "tokcomphy"
    yield "tokencommunication"
    if any("pool" in variant.compression for variant in experiment.variants.values()):
        yield "tokentransmission"
    yield "sionna"
    for link in run.links():
        settings = link.settings()
        below = settings.get("over")
        for part in (settings, below if isinstance(below, Mapping) else {}):
            yield from _of_link(part)
    yield "lora"
    if run.experiment.data.root is not None:
        yield "musicavqa"


def _of_link(settings: Mapping[str, Any]) -> Iterator[str]:
    channel = str(settings.get("channel", ""))
    if channel.startswith(_CHANNELS_OF_3GPP):
        yield "tr38901"
    if channel == "ray-traced":
        yield "sionnart"
    if settings.get("family") == "ofdm":
        yield "ts38211"
    if settings.get("family") == "digital":
        yield "ts38212"
        if isinstance(settings.get("schemes"), str):
            yield "ts38214"


def model_keys(run: Run) -> dict[str, str]:
    """Name of a model from elsewhere → the key of its entry; models that come with the toolkit are cited with it."""
    sources = [run.experiment.foundation, *run.experiment.encoders.values()]
    names = [source for source in sources if isinstance(source, str) and not source.startswith("tiny/")]
    return {name: f"model{number}" for number, name in enumerate(dict.fromkeys(names), 1)}


def bibtex(run: Run) -> str:
    """The entries of all that a run used."""
    version = str(_versions(run).get("tokcom-phy", ""))
    software = {"author": "{The tokcom-phy contributors}", "title": f"tokcom-phy {version}".strip()}
    if started := str(run.provenance.get("started", ""))[:4]:
        software["year"] = latex_text(started)
    if revision := run.provenance.get("git_revision"):
        software["note"] = latex_text(f"revision {revision}")
    entries = {"tokcomphy": ("misc", software), **_ENTRIES}
    texts = [_entry(key, *entries[key]) for key in cited(run)]
    for name, key in model_keys(run).items():
        fields = {"title": f"{{{latex_text(name)}}}", "note": "pretrained model, Hugging Face Hub"}
        texts.append(_entry(key, "misc", fields))
    return "\n".join(texts)


def _entry(key: str, kind: str, fields: Mapping[str, str]) -> str:
    if kind == "techreport":
        fields = {"author": "{3GPP}", **fields, "institution": "3rd Generation Partnership Project", "type": ""}
        fields = {name: value for name, value in fields.items() if value}
    lines = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items())
    return f"@{kind}{{{key},\n{lines}}}\n"


def _versions(run: Run) -> Mapping[str, Any]:
    versions = run.provenance.get("versions")
    return versions if isinstance(versions, Mapping) else {}
