"""Runs on one page: figures, tables, budgets, settings and provenance in a single HTML file that needs nothing else."""

import ast
import base64
import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tokcom_phy.experiments.plan import MAJORITY
from tokcom_phy.experiments.run_dir import alignment_folder, checkpoint_folder
from tokcom_phy.experiments.schema import Experiment
from tokcom_phy.experiments.validation import check
from tokcom_phy.model.foundation_config import foundation_width
from tokcom_phy.radio.loading import restore_link
from tokcom_phy.results.budget import BITS_PER_VALUE, mean_question_tokens, payloads
from tokcom_phy.results.points import Point, read_points
from tokcom_phy.results.tables import accuracy_curves, tabulate_differences, tabulate_losses
from tokcom_phy.utils.errors import UserError
from tokcom_phy.utils.files import find, write_atomically

_TEMPLATE = "report.html"
_SHOWN_GAPS = 12


@dataclass(frozen=True)
class Cell:
    """A figure in a table.

    Attributes
    ----------
    text : the value
    note : its interval, in smaller print
    share : 0 to 100, how far the cell is filled; None for no filling
    tone : 'better' or 'worse' where an interval leaves out zero
    """

    text: str = ""
    note: str = ""
    share: float | None = None
    tone: str = ""


@dataclass(frozen=True)
class Table:
    """A table as the page shows it: each row is a heading and a cell for every column."""

    title: str
    corner: str
    columns: Sequence[str]
    rows: list[tuple[str, list[Cell]]]


@dataclass(frozen=True)
class Picture:
    """A figure: its PNG in base64, and what its script says that it shows."""

    name: str
    data: str
    caption: str


@dataclass
class Section:
    """All that the page says about one run."""

    anchor: str
    folder: str
    experiment: Experiment
    asked: str
    facts: dict[str, str]
    questions: list[dict[str, str]]
    done: int
    wanted: int
    gaps: list[str]
    untold_gaps: int
    traces: list[str]
    pictures: list[Picture]
    accuracy: list[Table]
    differences: list[Table]
    types: list[Table]
    all_types: list[Table]
    radio: list[Table]
    training: Table | None
    budgets: list[Table] = field(default_factory=list)
    no_budget: str = ""
    links: dict[str, dict[str, str]] = field(default_factory=dict)
    config: str = ""
    provenance: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    seconds: list[tuple[str, str, str]] = field(default_factory=list)


def write_report(run_dirs: Sequence[Path], out: Path | None = None) -> Path:
    """Write one page about one or several runs, finished or not.

    Parameters
    ----------
    run_dirs : sequence of Path
    out : Path, optional
        The HTML file; by default ``report.html`` in the run directory, or in the current folder if there are several.

    Returns
    -------
    Path
        The HTML file. It holds its figures and style; a browser that opens it asks no other file or host for anything.

    Raises
    ------
    UserError
        If a folder holds no run, a file in it is damaged, or the page cannot be written.
    """
    target = out or (run_dirs[0] if len(run_dirs) == 1 else Path()) / "report.html"
    if target.suffix.lower() not in (".html", ".htm") or target.is_dir():
        raise UserError(f"cannot write the report to {target}: name an .html file")
    sections = [_section(run_dir, f"run-{number}") for number, run_dir in enumerate(run_dirs, 1)]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(_TEMPLATE).render(
        runs=sections, majority=MAJORITY, bits_per_value=BITS_PER_VALUE, version=version("tokcom-phy")
    )
    with write_atomically(target) as path:
        path.write_text(page, encoding="utf-8")
    return target


def _section(run_dir: Path, anchor: str) -> Section:
    if not (run_dir / "config.yaml").is_file():
        raise UserError(f"{run_dir} is no run directory: it has no config.yaml; give the --out of a tokcom run")
    config = (run_dir / "config.yaml").read_text(encoding="utf-8")
    experiment = check(Experiment, _parsed(run_dir / "config.yaml", yaml.safe_load), f"{run_dir}/config.yaml")
    provenance = _kept(run_dir / "provenance.json", {})
    questions = _kept(run_dir / "questions.json", [])
    links = _kept(run_dir / "links.json", {})
    points = read_points(run_dir)
    types = np.array([question["type"] for question in questions])
    wanted = [
        (job.subject, job.link.name, snr_db, job.seed)
        for job in experiment.resolved().jobs
        if job.stage == "evaluate"
        for snr_db in job.snr_db
    ]
    have = {(point.variant, point.link, point.snr_db, point.seed) for point in points}
    gaps = _gaps([key for key in wanted if key not in have])
    if gaps or not wanted:
        gaps += _missing_trainings(run_dir, experiment)
    variants = [*experiment.variants, MAJORITY]
    by_type = _by_link(_curves_by_type(points, types), experiment)
    section = Section(
        anchor=anchor,
        folder=run_dir.resolve().name,
        experiment=experiment,
        asked=_asked(experiment),
        facts=_facts(experiment, len(questions)),
        questions=_question_types(questions),
        done=sum(key in have for key in wanted),
        wanted=len(wanted),
        gaps=gaps[:_SHOWN_GAPS],
        untold_gaps=max(len(gaps) - _SHOWN_GAPS, 0),
        traces=sorted(path.name for path in (run_dir / "logs").glob("[!.]*.txt")) if gaps else [],
        pictures=_pictures(run_dir, experiment),
        accuracy=_accuracy_tables(_by_link(accuracy_curves(points), experiment), variants),
        differences=_difference_tables(tabulate_differences(experiment, points)),
        types=_type_tables(by_type, variants, best_only=True),
        all_types=_type_tables(by_type, variants, best_only=False),
        radio=_radio_tables(points, experiment),
        training=_training_table(tabulate_losses(experiment, run_dir), experiment),
        links={name: _flat(settings) for name, settings in links.items()},
        config=config,
        versions=provenance.pop("versions", {}),
        provenance=_flat(provenance),
        seconds=_shares(_kept(run_dir / "logs" / "seconds.json", {})),
    )
    try:
        section.budgets = _budget_tables(experiment, links, [question["question"] for question in questions])
    except UserError as error:
        section.no_budget = str(error)
    return section


def _parsed(path: Path, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} is damaged ({' '.join(str(error).split())}): restore it, or run the experiment again"
        ) from error


def _kept(path: Path, otherwise: Any) -> Any:
    return _parsed(path, json.loads) if path.is_file() else otherwise


def _asked(experiment: Experiment) -> str:
    """The question of the experiment in a sentence."""
    if not experiment.evaluate:
        return f"How does the training of {_count(experiment.variants, 'variant')} go?"
    snrs = sorted({snr_db for series in experiment.evaluate for snr_db in series.snr_db})
    links = experiment.resolved().evaluated_links
    at = _db(snrs[0]) if len(snrs) == 1 else f"{len(snrs)} SNRs from {_db(snrs[0])} to {_db(snrs[-1])}"
    return (
        f"How often do {_count(experiment.variants, 'variant')} answer right over {_count(links, 'link')} at {at}, "
        f"with {_count(experiment.seeds, 'seed')} of training and radio?"
    )


def _count(things: Iterable[object], noun: str) -> str:
    number = len(list(things))
    return f"{number} {noun}{'s' * (number != 1)}"


def _facts(experiment: Experiment, asked: int) -> dict[str, str]:
    stages = {"stage 1": experiment.stage1, "stage 2": experiment.stage2}
    trained = {
        stage: f"{settings.steps} steps of {settings.batch} over {settings.link} at {_snr(settings.snr_db)}"
        for stage, settings in stages.items()
    }
    data = experiment.data.root.name if experiment.data.root else "synthetic corpus"
    return {
        "experiment": experiment.name,
        "profile": experiment.profile,
        "language model": experiment.foundation,
        "encoders": ", ".join(f"{modality}: {name}" for modality, name in experiment.encoders.items()) or "none",
        "tokens": ", ".join(f"{length} {modality}" for modality, length in experiment.lengths.items()) or "none",
        "data": f"{data}, {asked:,} questions asked" if asked else data,
        **trained,
    }


def _snr(snr_db: float | Sequence[float]) -> str:
    return _db(snr_db) if isinstance(snr_db, float | int) else " to ".join(_db(end) for end in snr_db)


def _db(value: float) -> str:
    return _number(f"{value:g} dB")


def _number(text: str) -> str:
    """A number as it is printed: with a minus sign, not a hyphen."""
    return text.replace("-", "−")


def _question_types(questions: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Each type of question, how often it is asked, and the first of them."""
    counts = Counter(question["type"] for question in questions)
    first = {question["type"]: question for question in reversed(questions)}
    return [
        {"type": kind, "count": f"{count:,}", "question": first[kind]["question"], "answer": first[kind]["answer"]}
        for kind, count in sorted(counts.items())
    ]


def _gaps(missing: Iterable[tuple[str, str, float, int]]) -> list[str]:
    """Missing points in words, a line for each variant, link and seed."""
    lines: dict[tuple[str, str, int], list[float]] = {}
    for variant, link, snr_db, seed in missing:
        lines.setdefault((variant, link, seed), []).append(snr_db)
    return [
        f"{variant} over {link}, seed {seed}: {', '.join(_number(f'{s:g}') for s in snrs)} dB"
        for (variant, link, seed), snrs in lines.items()
    ]


def _missing_trainings(run_dir: Path, experiment: Experiment) -> list[str]:
    """Trainings that have left nothing behind, by name."""
    folders = {"align": alignment_folder, "finetune": checkpoint_folder}
    return [
        job.name
        for job in experiment.resolved().jobs
        if job.stage in folders and not folders[job.stage](run_dir, job.subject, job.seed).is_dir()
    ]


def _pictures(run_dir: Path, experiment: Experiment) -> list[Picture]:
    """The figures in ``figures/``, those that the experiment names first."""
    scripts = {Path(name).stem: name for name in experiment.figures}
    files = {path.stem: path for path in sorted((run_dir / "figures").glob("[!.]*.png"))}
    names = [name for name in scripts if name in files] + [name for name in files if name not in scripts]
    return [
        Picture(name, base64.b64encode(files[name].read_bytes()).decode(), _caption(scripts.get(name)))
        for name in names
    ]


def _caption(script: str | None) -> str:
    """What a plot's script says of itself."""
    try:
        text = ast.get_docstring(ast.parse(find("plots", script).read_text(encoding="utf-8"))) if script else None
    except (UserError, SyntaxError):
        return ""
    return " ".join((text or "").split("\n\n")[0].split())


def _percent(curve: Mapping[Hashable, Any] | pd.Series) -> Cell:
    value, low, high = (100 * curve[key] for key in ("value", "ci_low", "ci_high"))
    return Cell(f"{value:.1f}", f"{low:.1f}–{high:.1f}", share=value)


def _pivot(title: str, corner: str, cells: Mapping[tuple[str, float], Cell], rows: Sequence[str]) -> Table:
    """Cells by row and SNR as a table."""
    snrs = sorted({snr_db for _, snr_db in cells})
    there = [row for row in rows if any((row, snr_db) in cells for snr_db in snrs)]
    return Table(
        title,
        corner,
        [_db(snr_db) for snr_db in snrs],
        [(row, [cells.get((row, snr_db), Cell("–")) for snr_db in snrs]) for row in there],
    )


def _accuracy_tables(curves: pd.DataFrame, variants: Sequence[str]) -> list[Table]:
    """A table a link: accuracy of each variant at each SNR over all seeds."""
    tables = []
    for link, curve in curves.groupby("link", sort=False):
        cells = {(row["variant"], row["snr_db"]): _percent(row) for row in curve.to_dict("records")}
        tables.append(_pivot(str(link), "variant", cells, variants))
    return tables


def _difference_tables(differences: pd.DataFrame) -> list[Table]:
    """Paired differences: of variants, a table a link; then of links."""
    tables: dict[str, dict[tuple[str, float], Cell]] = {}
    for row in differences.to_dict("records"):
        same_link = row["link"] == row["than_link"]
        title = row["link"] if same_link else "between links"
        name = (
            f"{row['variant']} − {row['than_variant']}"
            if same_link
            else f"{row['variant']}: {row['link']} − {row['than_link']}"
        )
        low, high = 100 * row["ci_low"], 100 * row["ci_high"]
        tone = "better" if low > 0 else "worse" if high < 0 else ""
        cell = Cell(_number(f"{100 * row['value']:+z.1f}"), _number(f"{low:+z.1f} to {high:+z.1f}"), tone=tone)
        tables.setdefault(title, {})[name, row["snr_db"]] = cell
    return [
        _pivot(title, "difference", cells, list(dict.fromkeys(name for name, _ in cells)))
        for title, cells in sorted(tables.items(), key=lambda item: item[0] == "between links")
    ]


def _by_link(curves: pd.DataFrame, experiment: Experiment) -> pd.DataFrame:
    """Curves in the order in which the experiment names their links."""
    return curves.sort_values(
        "link", key=lambda links: links.map(experiment.resolved().evaluated_links.index), kind="stable"
    )


def _curves_by_type(points: list[Point], types: np.ndarray) -> pd.DataFrame:
    """`accuracy_curves` of each question type, with a column ``question_type``."""
    curves = [accuracy_curves(points, types == kind).assign(question_type=kind) for kind in sorted(set(types))]
    return pd.concat(curves) if points else accuracy_curves(points)


def _type_tables(curves: pd.DataFrame, variants: Sequence[str], best_only: bool) -> list[Table]:
    """A table a link: accuracy by question type, at the highest SNR or at all."""
    tables = []
    for link, curve in curves.groupby("link", sort=False):
        kinds, snrs = sorted(curve["question_type"].unique()), sorted(curve["snr_db"].unique())
        snrs = snrs[-1:] if best_only else snrs
        columns = [kind.replace("/", "/\u200b") for kind in kinds]  # a line may break there
        cells = {
            (row["variant"], row["snr_db"], row["question_type"]): _percent(row) for row in curve.to_dict("records")
        }
        rows = [
            (variant if best_only else f"{variant}, {_db(snr_db)}", [cells[variant, snr_db, kind] for kind in kinds])
            for variant in variants
            for snr_db in snrs
            if (variant, snr_db, kinds[0]) in cells
        ]
        tables.append(Table(f"{link} at {_db(snrs[0])}" if best_only else str(link), "variant", columns, rows))
    return tables


def _radio_tables(points: list[Point], experiment: Experiment) -> list[Table]:
    """A table a link: effective SNR and token NMSE per modality, means over seeds; variants that agree share a row."""
    values: dict[str, dict[tuple[str, str], dict[str, dict[float, list[float]]]]] = {}
    for point in points:
        for quantity, measured in (("effective SNR", point.effective_snr_db), ("token NMSE", point.token_nmse_db)):
            for modality, value in measured.items():
                of_link = values.setdefault(point.link, {})
                by_snr = of_link.setdefault((quantity, modality), {}).setdefault(point.variant, {})
                by_snr.setdefault(point.snr_db, []).append(value)
    tables = []
    for link in experiment.resolved().evaluated_links:
        rows = values.get(link, {})
        snrs = sorted({snr_db for of in rows.values() for by_snr in of.values() for snr_db in by_snr})
        table = Table(link, "dB", [_db(snr_db) for snr_db in snrs], [])
        for (quantity, modality), by_variant in sorted(rows.items()):
            alike: dict[tuple[str, ...], list[str]] = {}
            for variant in experiment.variants:
                if variant in by_variant:
                    at = by_variant[variant]
                    texts = tuple(_number(f"{np.mean(at[s]):z.1f}") if s in at else "–" for s in snrs)
                    alike.setdefault(texts, []).append(variant)
            for texts, names in alike.items():
                whose = f" ({', '.join(names)})" if len(alike) > 1 else ""
                table.rows.append((f"{quantity}, {modality}{whose}", [Cell(text) for text in texts]))
        if table.rows:
            tables.append(table)
    return tables


def _training_table(losses: pd.DataFrame, experiment: Experiment) -> Table | None:
    """Training loss at the end of stage 2: mean, and each seed's."""
    if losses.empty:
        return None
    rows = []
    for variant in experiment.variants:
        of_variant = losses[losses["variant"] == variant]
        if not of_variant.empty:
            seeds = ", ".join(f"{value:.4f}" for value in of_variant["value"])
            rows.append((variant, [Cell(f"{of_variant['value'].mean():.4f}"), Cell(seeds)]))
    return Table("", "variant", ["mean", "each seed"], rows)


def _budget_tables(experiment: Experiment, kept: Mapping[str, dict[str, Any]], asked: list[str]) -> list[Table]:
    """What one question costs on the links as the run met them, a table for the variants that send the same."""
    if not kept or not asked:
        raise UserError("the run has not written down its links and questions yet")
    width = foundation_width(experiment.foundation)
    links = {name: restore_link(name, kept[name]) for name in experiment.resolved().evaluated_links}
    tables = []
    for payload in payloads(experiment, links, width, mean_question_tokens(experiment, asked)):
        title = f"{', '.join(payload.variants)}: {payload.describe(width)}"
        columns = ["channel uses", "resource elements", "slots", "latency", "bandwidth", "energy", "overhead"]
        rows = [
            (
                f"{cost.link}, {cost.sent_as}",
                [
                    Cell(text)
                    for text in (
                        f"{cost.budget.channel_uses:,}",
                        f"{cost.budget.resource_elements:,}",
                        f"{cost.budget.slots or '–'}",
                        f"{1e3 * cost.budget.latency:.3g} ms",
                        f"{cost.budget.bandwidth / 1e3:.0f} kHz",
                        f"{1e3 * cost.budget.energy:.3g} mJ",
                        f"{100 * cost.budget.overhead:.0f} %",
                    )
                ],
            )
            for cost in payload.costs
        ]
        tables.append(Table(title, "link", columns, rows))
    return tables


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as dotted keys and texts."""
    flat: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return flat


def _shares(seconds: Mapping[str, float]) -> list[tuple[str, str, str]]:
    """Time of each step [s], and its share [%]."""
    total = sum(seconds.values()) or 1.0
    return [(step, f"{spent:,.1f}", f"{100 * spent / total:.0f}") for step, spent in seconds.items()]
