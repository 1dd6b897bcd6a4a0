"""The notebooks in docs/notebooks: each runs from its first cell to its last, and is kept without output."""

import shutil
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="needs the extra docs: pip install 'tokcom-phy[docs]'")
nbclient = pytest.importorskip("nbclient", reason="needs the extra docs: pip install 'tokcom-phy[docs]'")

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "docs" / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """They share a folder, as in the documentation, and so the clips of one another."""
    return tmp_path_factory.mktemp("notebooks")


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, folder):
    shutil.copy(path, folder)
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_clean_and_begins_with_what_colab_needs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert "pip install" in code[0].source
    assert "google.colab" in code[0].source
    assert notebook.cells[0].source.startswith("# ")
