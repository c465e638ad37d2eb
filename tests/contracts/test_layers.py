"""Who may import whom: import-linter over the package, and the same for what it does not read."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "relayllm"
HOMES = {
    "torch": ("engines", "training", "serving"),
    "transformers": ("engines", "training", "serving"),
    "trl": ("training",),
    "deepspeed": ("training",),
    "mlflow": ("serving", "tracking/", "registry/", "packaging/"),
    "great_expectations": ("validation",),
    "prefect": (),
    "dvc": (),
}
"""Where in src/relayllm a library may be imported."""


def imported(path: Path) -> set[str]:
    """Full names of the modules that a file imports, at any depth."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def test_import_linter_keeps_every_contract():
    done = subprocess.run([str(Path(sys.executable).parent / "lint-imports"), "--no-cache"], cwd=ROOT, text=True,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize("library", HOMES)
def test_library_is_imported_in_its_homes_only(library):
    users = [path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py")
             if library in {name.partition(".")[0] for name in imported(path)}]
    assert [user for user in users if not user.startswith(HOMES[library])] == []


def test_flows_reach_neither_stages_nor_models():
    banned = ("stages", "training", "engines", "evaluation", "rewards", "relay", "validation")
    reached = {(path.name, name) for path in (ROOT / "flows").glob("*.py") for name in imported(path)
               if name.startswith(tuple(f"relayllm.{layer}" for layer in banned))}
    assert reached == set()
