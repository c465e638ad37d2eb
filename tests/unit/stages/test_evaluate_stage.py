"""The stage evaluate before it decodes anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from relayllm.config import JudgeConfig, load_params
from relayllm.errors import JudgeError
from relayllm.problems.problem import Problem, write_problems
from relayllm.stages.evaluate import run

SMOKE = load_params(Path("params/smoke.yaml")).evaluate


@pytest.mark.parametrize(("url", "says"), [(None, "RELAY_JUDGE_URL is not set"), ("http://127.0.0.1:9", "127.0.0.1:9")])
def test_judge_out_of_reach_stops_the_stage_before_a_model_is_looked_for(tmp_path, monkeypatch, url, says):
    monkeypatch.delenv("RELAY_JUDGE_URL", raising=False)
    if url:
        monkeypatch.setenv("RELAY_JUDGE_URL", url)
    write_problems(tmp_path / "train.jsonl", [Problem("p", "How many?", "4", "pens")])
    judge = JudgeConfig(model="arbiter", prompt="equivalence-1", max_tokens=64)
    nowhere = {name: tmp_path / name for name in ("base", "warmup", "grpo", "teacher", "others", "records", "metrics")}
    with pytest.raises(JudgeError, match=says):
        run(SMOKE.model_copy(update={"judge": judge}), data=tmp_path, **nowhere)
    assert not nowhere["records"].exists()
