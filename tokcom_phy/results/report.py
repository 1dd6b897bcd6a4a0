"""Runs on one page: figures, tables, budgets, settings and provenance in a single HTML file that needs nothing else."""

import ast
import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from pydantic import TypeAdapter

from tokcom_phy.experiments.plan import MAJORITY
from tokcom_phy.experiments.run_dir import CONFIG
from tokcom_phy.experiments.schema import Experiment
from tokcom_phy.results.ask_page import script_digest
from tokcom_phy.results.budget import BITS_PER_VALUE
from tokcom_phy.results.explorer import explorer_data, explorer_script
from tokcom_phy.results.reading import read_json
from tokcom_phy.results.report_answers import SHOWN_OF_TYPE, SingleQuestion, single_questions
from tokcom_phy.results.report_tables import (
    Table,
    accuracy_tables,
    budget_tables,
    difference_tables,
    metric_tables,
    radio_tables,
    training_table,
    type_tables,
)
from tokcom_phy.results.report_words import asked, facts, flat, gaps, missing_trainings, question_types, shares
from tokcom_phy.results.run import Run
from tokcom_phy.utils.errors import UserError
from tokcom_phy.utils.files import find, write_atomically

_SECONDS: TypeAdapter[Mapping[str, float]] = TypeAdapter(Mapping[str, float])
_TEMPLATE = "report.html"
_SHOWN_GAPS = 12


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
    single: list[SingleQuestion]
    blind: str
    done: int
    wanted: int
    gaps: list[str]
    untold_gaps: int
    traces: list[str]
    explorer: Markup
    pictures: list[Picture]
    accuracy: list[Table]
    differences: list[Table]
    metrics: list[Table]
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
    script = explorer_script() if any(section.explorer for section in sections) else ""
    page = environment.get_template(_TEMPLATE).render(
        runs=sections,
        majority=MAJORITY,
        bits_per_value=BITS_PER_VALUE,
        shown_of_type=SHOWN_OF_TYPE,
        script=Markup(script),
        digest=script_digest(script),
        version=version("tokcom-phy"),
    )
    with write_atomically(target) as path:
        path.write_text(page, encoding="utf-8")
    return target


def _section(run_dir: Path, anchor: str) -> Section:
    run = Run.open(run_dir)
    experiment = run.experiment
    wanted = [job for job in experiment.resolved().jobs if job.stage == "evaluate"]
    keys = [(job.subject, job.link.name, snr_db, job.seed) for job in wanted for snr_db in job.snr_db]
    have = set(zip(*(run.points[column] for column in ("variant", "link", "snr_db", "seed")), strict=True))
    missing = gaps([key for key in keys if key not in have])
    if missing or not keys:
        missing += missing_trainings(run_dir, experiment)
    questions = run.questions.to_dict("records")
    seconds = run_dir / "logs" / "seconds.json"
    versions = run.provenance.get("versions")
    section = Section(
        anchor=anchor,
        folder=run_dir.resolve().name,
        experiment=experiment,
        asked=asked(experiment),
        facts=facts(experiment, len(questions)),
        questions=question_types(questions),
        single=single_questions(run),
        blind=", ".join(variant.name for variant in run.variants(blind=True)),
        done=sum(key in have for key in keys),
        wanted=len(keys),
        gaps=missing[:_SHOWN_GAPS],
        untold_gaps=max(len(missing) - _SHOWN_GAPS, 0),
        traces=sorted(path.name for path in (run_dir / "logs").glob("[!.]*.txt")) if missing else [],
        explorer=Markup(explorer_data(run)),
        pictures=_pictures(run_dir, experiment),
        accuracy=accuracy_tables(run),
        differences=difference_tables(run),
        metrics=metric_tables(run),
        types=type_tables(run, best_only=True),
        all_types=type_tables(run, best_only=False),
        radio=radio_tables(run),
        training=training_table(run),
        links={link.name: flat(link.settings()) for link in run.links()} if questions else {},
        config=(run_dir / CONFIG).read_text(encoding="utf-8"),
        versions=flat(versions if isinstance(versions, dict) else {}),
        provenance=flat({key: value for key, value in run.provenance.items() if key != "versions"}),
        seconds=shares(read_json(seconds, _SECONDS, "delete it")) if seconds.exists() else [],
    )
    try:
        section.budgets = budget_tables(run)
    except UserError as error:
        section.no_budget = str(error)
    return section


def _pictures(run_dir: Path, experiment: Experiment) -> list[Picture]:
    """The figures in ``figures/``, those that the experiment names first."""
    scripts = {Path(name).stem: name for name in experiment.figures}
    files = {path.stem: path for path in sorted((run_dir / "figures").glob("[!.]*.png"))}
    of_style = {f"{name}-{style}" for name in scripts for style in ("ieee", "nature", "slides")}
    others = [name for name in files if name not in scripts and name not in of_style]
    names = [name for name in scripts if name in files] + others
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
