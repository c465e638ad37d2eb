"""Heavy libraries are loaded by those who use them, and by nobody else."""

import subprocess
import sys
from pathlib import Path

import pytest

from relayllm.cli import stage_names

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "transformers", "trl", "deepspeed", "datasets", "mlflow", "prefect", "dvc", "great_expectations",
         "pandas", "matplotlib", "fastapi")


def loaded_by(code: str) -> set[str]:
    """Which heavy libraries a fresh interpreter holds after running the code."""
    show = f"import sys; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{show}"], cwd=ROOT, text=True, capture_output=True,
                          check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("module", ["relayllm", "relayllm.relay", "relayllm.relay.scheduler", "relayllm.relay.trace",
                                    "relayllm.config", "relayllm.settings", "relayllm.rewards", "relayllm.grading",
                                    "relayllm.tracking.run", "relayllm.registry.client", "relayllm.cli"])
def test_import_loads_nothing_heavy(module):
    assert loaded_by(f"import {module}") == set()


def test_help_lists_every_command_without_anything_heavy():
    code = ("import contextlib, io\nfrom relayllm.cli import main\ntext = io.StringIO()\n"
            "with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):\n    main(['--help'])\n"
            "assert 'warmup-set' in text.getvalue() and 'serve' in text.getvalue()")
    assert loaded_by(code) == set()


def test_every_stage_can_be_imported_without_torch():
    assert not loaded_by("\n".join(f"import relayllm.stages.{name}" for name in stage_names())) & {
        "torch", "transformers", "mlflow", "trl"}


def test_plan_loads_no_torch():
    assert "torch" not in loaded_by("import relayllm.commands.plan")


def test_grade_plain_numbers_need_neither_sympy_nor_a_worker():
    script = """
import os, sys
from relayllm.grading import grade
from relayllm.problems.problem import Problem
for said in ("181", "182", "182.0", "1/3", "x=182", "182 pens", "$182$", "50%"):
    grade(f"It is \\\\boxed{{{said}}}.", Problem("1", "?", "182", "pens"))
assert "sympy" not in sys.modules
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("no child")
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "no child\n", done.stderr
