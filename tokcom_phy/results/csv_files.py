"""The tables of a run as files: ``results.csv``, ``results.parquet``, ``curves.csv`` and ``differences.csv``."""

import pandas as pd

from tokcom_phy.results.run import Run
from tokcom_phy.utils.files import write_atomically

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


def write_tables(run: Run) -> None:
    """Write a run's tables.

    Raises
    ------
    UserError
        If a file cannot be written.
    """
    with write_atomically(run.path / "results.parquet") as path:
        run.results.to_parquet(path, index=False)
    for name, table in {"results": run.results, "curves": run.curves, "differences": run.differences}.items():
        with write_atomically(run.path / f"{name}.csv") as path:
            without_formulas(table).to_csv(path, index=False)


def without_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """A table in which a text that a spreadsheet would take for a formula begins with an apostrophe."""
    texts = table.select_dtypes(include=["object", "string"]).columns
    return table.assign(**{column: table[column].map(_without_formula) for column in texts})


def _without_formula(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
