"""What a test may do, by the folder it lies in: a unit test is milliseconds of this process."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.support.places import ROOT

UNIT_TESTS = sorted((ROOT / "tests/unit").rglob("*.py"))


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
