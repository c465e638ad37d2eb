"""The trials of docs/reliability.md in a small dose: they run, and they find nothing."""

from __future__ import annotations

import importlib

import pytest

from benchmarks.reliability.__main__ import TRIALS


@pytest.mark.parametrize("name", TRIALS)
def test_trial_is_there(name):
    assert callable(importlib.import_module(f"benchmarks.reliability.{name}").run)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "count"), [("patterns", 60), ("hostile", 60), ("teacher", 2), ("soak", 320)])
def test_trial_finds_no_fault(name, count, tmp_path):
    trial = importlib.import_module(f"benchmarks.reliability.{name}")
    found = trial.run(count, tmp_path)
    # A server that has just begun still grows: of the soak only lost answers count here.
    assert found.get("refused", found["faults"]) == 0, found
