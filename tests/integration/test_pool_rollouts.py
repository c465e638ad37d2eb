"""Roll-outs that ask a pool of teachers: its calls are named, and a checkpoint counts for that pool alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from relayllm.config import load_params
from relayllm.training.grpo import Decoders, pool_content
from tests.support.fake_teacher import FakeTeacher, Fault
from tests.support.reference import greedy
from tests.support.small_models import pair, save_pair

GRPO = load_params(Path("params/smoke.yaml")).grpo
RUN = GRPO.runs["relay-difficulty"]


@pytest.fixture
def servers(tmp_path, monkeypatch):
    """The servers of a pool, cheap and strong, which the environment names."""
    _, tokenizer, teacher, _ = pair()
    with FakeTeacher(tokenizer, greedy(teacher)) as cheap, FakeTeacher(tokenizer, greedy(teacher)) as strong:
        (tmp_path / "teachers.yaml").write_text(
            f"teachers: [{{name: cheap, urls: ['{cheap.url}']}}, {{name: strong, urls: ['{strong.url}']}}]")
        monkeypatch.setenv("RELAY_TEACHERS", str(tmp_path / "teachers.yaml"))
        yield cheap, strong


def test_roll_outs_ask_the_first_teacher_and_the_next_one_when_it_fails(servers, tmp_path):
    cheap, _ = servers
    save_pair(tmp_path)
    student, tokenizer, _, _ = pair()
    decoders, seen = Decoders(tokenizer, tmp_path / "teacher", GRPO, RUN), []
    for fault in (None, Fault.refuse(400, "not today")):
        cheap.always = fault
        with decoders.of(student) as decoder:
            traces = decoder.generate(["How many pens?"] * 4, max_new_tokens=24, max_calls=2, call_bias=12.0, seed=1)
        assert not any(trace.degraded for trace in traces)
        seen.append({call.teacher for trace in traces for call in trace.calls})
    assert seen == [{"cheap"}, {"strong"}]


def test_checkpoint_is_of_one_pool(servers, tmp_path):
    before = pool_content(RUN)
    path = tmp_path / "teachers.yaml"
    path.write_text(path.read_text().replace("strong", "stronger"))
    assert pool_content(RUN) != before
    assert pool_content(RUN.model_copy(update={"max_calls": 0})) == ""
