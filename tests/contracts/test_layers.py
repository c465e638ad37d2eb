"""Who may import whom: import-linter over the package, and the same for what it does not read."""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import networkx
import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "relayllm"
HOMES = {
    "torch": ("engines", "training", "serving"),
    "transformers": ("engines", "training", "serving", "problems/tiny_world"),
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


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")


def imported_modules(path: Path) -> set[str]:
    """Modules of the package that a file imports as it is loaded or while type checking."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("relayllm"):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in inner if (SOURCE.parent / name.replace(".", "/")).with_suffix(".py").is_file()}
            names |= modules or {node.module or ""}
    return names


def circles(imports: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other, however far around."""
    graph = networkx.DiGraph((name, other) for name, others in imports.items() for other in others if other in imports)
    return [sorted(group) for group in networkx.strongly_connected_components(graph) if len(group) > 1]


def test_import_linter_keeps_every_contract():
    done = subprocess.run([str(Path(sys.executable).parent / "lint-imports"), "--no-cache"], cwd=ROOT, text=True,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize("library", HOMES)
def test_library_is_imported_in_its_homes_only(library):
    users = [path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py")
             if library in {name.partition(".")[0] for name in imported(path)}]
    assert [user for user in users if not user.startswith(HOMES[library])] == []


def test_public_class_has_a_name_of_its_own():
    homes: dict[str, list[str]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(path.relative_to(SOURCE).as_posix())
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}


def test_rooms_have_no_circle():
    imports = {module_name(path): imported_modules(path) for path in SOURCE.rglob("*.py")}
    assert circles(imports) == []


def test_rooms_hold_no_more_than_twenty_modules():
    rooms = Counter(path.parent.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))
    assert {room: count for room, count in rooms.items() if count > 20} == {}


def test_flows_reach_neither_stages_nor_models():
    banned = ("stages", "training", "engines", "evaluation", "rewards", "relay", "validation")
    reached = {(path.name, name) for path in (ROOT / "flows").glob("*.py") for name in imported(path)
               if name.startswith(tuple(f"relayllm.{layer}" for layer in banned))}
    assert reached == set()
