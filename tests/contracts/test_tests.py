"""What a test may do: one of units takes milliseconds of this process, and none reaches into private names."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.support.places import ROOT

UNIT_TESTS = sorted((ROOT / "tests/unit").rglob("*.py"))
READERS = sorted(path for folder in ("tests", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
OTHERS_PRIVATE = {("tests/gpu/test_decoder_on_gpu.py", "_sleep"),  # torch.cuda's
                  ("tests/integration/test_server_clients.py", "_request_id"),  # the openai package's, in its README
                  ("benchmarks/baselines.py", "_generate_single_turn")}  # TRL's, which has no public way to roll out


def starts_a_process_or_is_slow(path: Path) -> bool:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    slow = any(isinstance(node, ast.Attribute) and ast.unparse(node) == "pytest.mark.slow" for node in nodes)
    return slow or bool(modules & {"subprocess", "multiprocessing", "pty"})


@pytest.mark.parametrize("code", ["import subprocess", "import pytest\n@pytest.mark.slow\ndef test_x(): pass",
                                  "pytestmark = [pytest.mark.slow]", "from subprocess import run"])
def test_slow_marks_and_processes_are_seen(tmp_path, code):
    (tmp_path / "test_x.py").write_text(code)
    assert starts_a_process_or_is_slow(tmp_path / "test_x.py")


def test_unit_tests_start_no_process_and_none_is_slow():
    assert [path.relative_to(ROOT).as_posix() for path in UNIT_TESTS if starts_a_process_or_is_slow(path)] == []


def private_names(path: Path) -> set[str]:
    """Private names that a file reads, sets, imports or patches on an object that is not its own `self`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id == "self"):
            found.add(node.attr)
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ("setattr", "getattr"):
            found |= {word.value.rpartition(".")[2] for word in node.args
                      if isinstance(word, ast.Constant) and isinstance(word.value, str)}
    return {name for name in found if name.startswith("_") and not name.startswith("__")}


@pytest.mark.parametrize("code", ["found = one._x", "one._x = 2", "self.other._x()", "from relayllm.cli import _x",
                                  "monkeypatch.setattr(cli, '_x', None)", "monkeypatch.setattr('relayllm.cli._x', 1)",
                                  "getattr(one, '_x')"])
def test_private_names_are_seen(tmp_path, code):
    (tmp_path / "test_x.py").write_text(code)
    assert private_names(tmp_path / "test_x.py") == {"_x"}


def test_private_names_of_a_fake_are_its_own(tmp_path):
    (tmp_path / "test_x.py").write_text("self._x = self.__class__")
    assert private_names(tmp_path / "test_x.py") == set()


def test_nothing_outside_of_the_package_reaches_into_private_names():
    found = {(path.relative_to(ROOT).as_posix(), name) for path in READERS for name in private_names(path)}
    assert found == OTHERS_PRIVATE
