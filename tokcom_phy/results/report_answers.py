"""Single questions in a report: what was asked, and what each system answered at each SNR."""

from collections import Counter
from dataclasses import dataclass

from tokcom_phy.results.report_tables import Cell, Table
from tokcom_phy.results.report_words import db
from tokcom_phy.results.run import Run

SHOWN_OF_TYPE = 3
"""Questions of each type that are shown."""


@dataclass(frozen=True)
class SingleQuestion:
    """One question and all answers to it, of the first seed: a row a system and link, a column an SNR."""

    clip: str
    kind: str
    question: str
    truth: str
    answers: Table


def single_questions(run: Run) -> list[SingleQuestion]:
    """The first questions of each type, `SHOWN_OF_TYPE` of them, in the order in which they are asked."""
    if run.points.empty:
        return []
    seen: Counter[str] = Counter()
    found = []
    for place, asked in enumerate(run.questions.itertuples()):
        seen[asked.type] += 1
        if seen[asked.type] <= SHOWN_OF_TYPE:
            table = _answers(run, place)
            found.append(SingleQuestion(asked.video_id, asked.type, asked.question, asked.answer, table))
    return found


def _answers(run: Run, place: int) -> Table:
    given = run.answers(place)
    given = given[given["seed"] == given["seed"].iloc[0]]
    snrs = sorted(given["snr_db"].unique())
    rows = []
    for (link, variant), answers in given.groupby(["link", "variant"]):
        cells = {row.snr_db: _cell(row.answer, row.correct) for row in answers.itertuples()}
        rows.append((f"{variant} over {link}", [cells.get(snr_db, Cell("–")) for snr_db in snrs]))
    return Table("", "system", [db(snr_db) for snr_db in snrs], rows)


def _cell(answer: str | None, correct: bool) -> Cell:
    shown = ("right" if correct else "wrong") if answer is None else answer or "(nothing)"
    return Cell(shown, tone="better" if correct else "")
