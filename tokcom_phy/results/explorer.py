"""What the explorer in a report computes with: which answers were right, and what was answered."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tokcom_phy.results.ask_page import json_for_page
from tokcom_phy.results.report_tables import systems
from tokcom_phy.results.run import Run

MAX_ANSWERS = 400_000
"""Single answers in a page; of longer runs the first questions are there."""

MAX_MARKS = 1_500_000
"""Marks in a page, a character each; the figures and tables of a longer run stand for it."""


def explorer_data(run: Run) -> str:
    """A run's points as JSON for a script element; empty where there are none, or more than a page holds.

    Marks are kept as they are, a character a question, so that the page counts what is chosen itself; the answers of
    the first seed by their places in a list of all.
    """
    points = run.points
    if points.empty or len(points) * len(run.questions) > MAX_MARKS:
        return ""
    first = run.experiment.seeds[0]
    shown = min(len(run.questions), MAX_ANSWERS // len(points))
    texts: dict[str, int] = {}
    rows: list[dict[str, Any]] = []
    for point in points.itertuples():
        row: dict[str, Any] = {
            "variant": point.variant,
            "link": point.link,
            "snr": point.snr_db,
            "seed": point.seed,
            "marks": "".join("01"[int(mark)] for mark in point.correct),
        }
        if point.seed == first and point.answers:
            row["answers"] = [texts.setdefault(answer, len(texts)) for answer in point.answers[:shown]]
        rows.append(row)
    kinds = list(dict.fromkeys(run.questions["type"]))
    questions = run.questions.head(shown)
    held = {
        "title": run.experiment.title,
        "variants": _present(systems(run), points["variant"]),
        "links": _present(run.experiment.resolved().evaluated_links, points["link"]),
        "kinds": kinds,
        "kind": [kinds.index(kind) for kind in run.questions["type"]],
        "points": rows,
        "texts": list(texts),
        "questions": questions[["video_id", "question", "answer"]].to_numpy().tolist(),
    }
    return json_for_page(held)


def explorer_script() -> str:
    """The page's script: Vega with Vega-Lite, and what draws by it."""
    own = (Path(__file__).parent / "explorer.js").read_text(encoding="utf-8")
    return f"{_vega()}\n(() => {{\n{own}}})();\n"  # the names of one are not those of the other


@cache
def _vega() -> str:
    import vl_convert  # only where a report is written: it takes seconds

    return str(vl_convert.javascript_bundle())  # type: ignore[call-arg]  # its stub forgets the default


def _present(names: Sequence[str], there: Any) -> list[str]:
    found = set(there)
    return [name for name in names if name in found]
