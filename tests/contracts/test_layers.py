"""Who may import whom: import-linter over the package, and the same for what it does not read."""

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Container, Iterable
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
UNTYPED = 30
"""Bare `Any` in public signatures, at most: lower it when there are fewer."""


def module_name(path: Path) -> str:
    root = SOURCE.parent if path.is_relative_to(SOURCE) else ROOT
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def imports_within(paths: Iterable[Path]) -> dict[str, set[str]]:
    """Module by module which of the others each imports, as it is loaded, later or while type checking."""
    modules = {module_name(path): path for path in paths}
    return {name: {other for full in imported(path) if (other := owner(full, modules)) and other != name}
            for name, path in modules.items()}


def imported(path: Path) -> set[str]:
    """Full names of what a file imports, at any depth: `a.b` of `from a import b`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def owner(full: str, modules: Container[str]) -> str | None:
    """The module that a full name is or stands in."""
    return next((name for name in (full, full.rpartition(".")[0]) if name in modules), None)


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


def types_of(path: Path) -> list[str]:
    """Names of a module's public types: its classes, and the aliases that are written like classes."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    named = [node.name if isinstance(node, ast.ClassDef) else ast.unparse(node.targets[0])
             for node in body if isinstance(node, ast.ClassDef | ast.Assign)]
    return [name for name in named if re.fullmatch(r"[A-Z]\w*[a-z]\w*", name)]


def test_public_type_has_a_name_of_its_own():
    homes: dict[str, list[str]] = {}
    folders = (SOURCE, ROOT / "flows", ROOT / "benchmarks")
    for path in sorted(path for folder in folders for path in folder.rglob("*.py")):
        for name in types_of(path):
            homes.setdefault(name, []).append(path.relative_to(ROOT).as_posix())
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}


@pytest.mark.parametrize("folder", ["src/relayllm", "flows", "benchmarks", "tests"])
def test_modules_have_no_circle(folder):
    assert circles(imports_within((ROOT / folder).rglob("*.py"))) == []


def test_rooms_hold_no_more_than_twenty_modules():
    rooms = Counter(path.parent.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))
    assert {room: count for room, count in rooms.items() if count > 20} == {}


def test_functions_are_no_longer_than_forty_lines():
    long = {f"{module_name(path)}.{node.name}": node.end_lineno - node.lineno + 1
            for folder in ("src/relayllm", "flows", "benchmarks", "tests/support")
            for path in (ROOT / folder).rglob("*.py")
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno - node.lineno >= 40}
    assert long == {}


def untyped(path: Path) -> list[str]:
    """What is bare `Any` in the signatures of a module's public functions: parameters, and what is returned."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not re.match("_[^_]", node.name):
            given = node.args
            named = [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, (given.vararg, given.kwarg))]
            hints = {one.arg: one.annotation for one in named} | {"return": node.returns}
            found += [f"{module_name(path)}.{node.name}: {name}" for name, hint in hints.items()
                      if hint is not None and ast.unparse(hint) == "Any"]
    return found


def test_public_signatures_leave_little_untyped():
    """What is left is other libraries': options handed through, JSON, cells of a table."""
    found = [one for path in sorted(SOURCE.rglob("*.py")) for one in untyped(path)]
    assert len(found) <= UNTYPED, found


def test_flows_reach_neither_stages_nor_models():
    reached = {name.split(".")[1] for path in (ROOT / "flows").glob("*.py") for name in imported(path)
               if name.startswith("relayllm.")}
    assert reached <= {"commands", "registry", "packaging", "tracking", "problems", "config", "settings", "errors",
                       "files", "processes", "progress"}


def test_what_tests_share_lies_in_support_or_conftest():
    paths = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    reached = {(module_name(path), name) for path in paths for name in imported(path)
               if name.startswith("tests.") and not name.startswith(("tests.support.", "tests.vllm."))}
    assert reached == set()


def test_code_that_the_package_brings_along_imports_nothing_that_it_does_not():
    from relayllm.packaging.write import CODE

    brought = {module_name(file) for name in CODE for path in [SOURCE / name]
               for file in (path.rglob("*.py") if path.is_dir() else [path])}
    needed = imports_within(SOURCE.rglob("*.py"))
    missing = {module: found for module in sorted(brought) if (found := needed[module] - brought)}
    assert missing == {}
