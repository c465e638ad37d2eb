"""The notebooks run from top to bottom, in a real kernel, on a package of random models."""

from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from relayllm.packaging.write import write_package

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))
CURVE = {"training": [{"call_bias": -8.0, "call_ratio": 0.0}, {"call_bias": 0.0, "call_ratio": 0.04}]}


@pytest.fixture(scope="module")
def model(parts, settings):
    """A package with a curve, as the pipeline's has, and a bias that makes random weights call."""
    record = {**parts.record, "bias_curve": CURVE, "decoding": {**parts.record["decoding"], "call_bias": 6.0}}
    write_package(replace(parts, record=record), settings.root / "curved", settings)
    return settings.root / "curved"


def run(path: Path) -> nbformat.NotebookNode:
    """A notebook with its outputs, run in its own folder as an editor runs it."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(path.parent)}}).execute()
    return notebook


def shown(cell: nbformat.NotebookNode) -> str:
    """What a cell prints and displays."""
    return "".join(output.get("text", "") + "".join(output.get("data", {}).values()) for output in cell.outputs)


@pytest.mark.slow
def test_who_wrote_what_shows_authors_bias_ratio_and_price(model, monkeypatch):
    monkeypatch.setenv("RELAY_MODEL", str(model))
    cells = {cell.id: shown(cell) for cell in run(ROOT / "docs/notebooks/who-wrote-what.ipynb").cells
             if cell.cell_type == "code"}
    assert "relay-decoder, version curved" in cells["load"]
    assert "title='teacher, " in cells["segments"]
    assert "&lt;call&gt;" in cells["segments"]
    assert {"student", "teacher", "command"} <= set(cells["table"].split())
    assert "delivered" in cells["calls"]
    assert "-inf" in cells["bias"]
    assert "2.0% of all tokens by the teacher: CallSetting(call_bias=-4.0, min_call_tokens=1)" in cells["ratio"]
    assert "teacher_prefilled" in cells["ledger"]
    assert "by the teacher alone" in cells["price"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_kept_without_outputs(path):
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert cells
    assert [cell.id for cell in cells if cell.outputs or cell.execution_count] == []
