"""A teacher elsewhere that answers whole questions: as the teacher in process does, or with an error."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from relayllm.config import load_params
from relayllm.engines.decoder import RelayDecoder
from relayllm.engines.openai.options import RemoteOptions
from relayllm.engines.teacher_only import RemoteGenerator
from relayllm.errors import ConfigError, TeacherError
from relayllm.evaluation.answer_cache import FILE, AnswerCache
from relayllm.evaluation.answering import Evaluation
from relayllm.evaluation.methods import method
from relayllm.evaluation.models import Models
from relayllm.problems.problem import Problem, read_problems, write_problems
from relayllm.stages import filter as filter_stage
from tests.support.fake_teacher import FakeTeacher, Fault
from tests.support.reference import greedy
from tests.support.small_models import pair

PROMPTS = ["How many pens are there?", "Four boxes of 12.", "The answer"]
PARAMS = load_params(Path("params/smoke.yaml"))
QUICK = RemoteOptions(attempts=2, backoff_seconds=0.01, breaker_failures=3, breaker_seconds=60)


@pytest.fixture
def server():
    """A server that answers as the small teacher does, greedily."""
    _, _, teacher, tokenizer = pair()
    with FakeTeacher(tokenizer, greedy(teacher)) as server:
        yield server


@pytest.fixture
def remote(server):
    remote = RemoteGenerator(server.url, server.tokenizer, options=QUICK)
    yield remote
    remote.close()


def test_answers_are_those_of_the_teacher_in_process(remote):
    _, _, teacher, tokenizer = pair()
    here = RelayDecoder.from_models(teacher, tokenizer).generate(PROMPTS, n=2, max_new_tokens=24, max_calls=0)
    there = remote.generate(PROMPTS, n=2, max_new_tokens=24, max_calls=0)
    for one, other in zip(there, here, strict=True):
        assert (one.token_ids, one.text, one.stop_reason) == (other.token_ids, other.text, other.stop_reason)
        assert (one.row, one.sample) == (other.row, other.sample)
        assert one.ledger.completion_tokens == other.ledger.completion_tokens


def test_replicas_share_the_answers(remote, server):
    _, _, teacher, tokenizer = pair()
    with FakeTeacher(tokenizer, greedy(teacher)) as second:
        both = RemoteGenerator((server.url, second.url), tokenizer, options=QUICK)
        try:
            traces = both.generate(PROMPTS, n=6, max_new_tokens=8)
        finally:
            both.close()
        assert server.asked
        assert second.asked
    assert [trace.token_ids for trace in traces] == [
        trace.token_ids for trace in remote.generate(PROMPTS, n=6, max_new_tokens=8)]


def test_samples_of_one_prompt_are_asked_for_with_seeds_of_their_own(remote, server):
    remote.generate(PROMPTS, n=3, max_new_tokens=4, temperature=0.7, seed=5)
    seeds = [body["seed"] for body in server.asked]
    assert len(set(seeds)) == 9
    remote.generate(PROMPTS, n=3, max_new_tokens=4, temperature=0.7, seed=5)
    assert sorted(body["seed"] for body in server.asked[9:]) == sorted(seeds)


def test_no_more_than_the_slots_are_under_way(remote, server):
    server.token_seconds = 0.01
    remote.generate(PROMPTS, n=4, slots=2, max_new_tokens=4)
    assert server.connections <= 3  # two, and the one of the first handshake


def test_answer_that_failed_once_is_asked_for_again(remote, server):
    wanted = remote.generate(PROMPTS, max_new_tokens=8)
    server.faults += [Fault.refuse(500)] * 2  # both attempts of one call
    assert [trace.token_ids for trace in remote.generate(PROMPTS, max_new_tokens=8)] == [
        trace.token_ids for trace in wanted]


@pytest.mark.parametrize("fault", [Fault.refuse(500), Fault.refuse(400, "too long"), Fault.cut(1)])
def test_server_that_keeps_failing_is_an_error(remote, server, fault):
    server.always = fault
    with pytest.raises(TeacherError, match="of 3 answers were there"):
        remote.generate(PROMPTS, max_new_tokens=8)


@pytest.fixture
def project(tmp_path, server, monkeypatch):
    """A folder with problems and the teacher's tokenizer, without its weights."""
    write_problems(tmp_path / "data/train.jsonl", [Problem(f"p{n}", f"What is {n} + 1?", str(n + 1), "pens")
                                                   for n in range(4)])
    server.tokenizer.save_pretrained(tmp_path / "teacher")
    (tmp_path / "teacher/config.json").write_text(json.dumps({"model_type": "qwen3"}))
    monkeypatch.setenv("RELAY_ROOT", str(tmp_path))
    monkeypatch.setenv("RELAY_TEACHER_URL", server.url)
    monkeypatch.setenv("RELAY_TEACHER_BACKOFF_SECONDS", "0.01")
    return tmp_path


def run_filter(project, slots=64):
    decoding = PARAMS.filter.decoding.model_copy(update={"slots": slots})
    config = PARAMS.filter.model_copy(update={"problems": 4, "min_pass_rate": 0.0, "decoding": decoding})
    filter_stage.run(config, data=project / "data", teacher=project / "teacher", kept=project / "kept.jsonl",
                     metrics=project / "metrics.json")


def test_filter_asks_the_server_and_loads_no_weights(project, server):
    run_filter(project)
    assert len(server.asked) == 4 * PARAMS.filter.samples
    assert len(read_problems(project / "kept.jsonl")) == 4


def test_filter_shares_its_questions_among_the_replicas_of_a_pools_only_teacher(project, server, monkeypatch):
    monkeypatch.delenv("RELAY_TEACHER_URL")
    with FakeTeacher(server.tokenizer, server.write) as other:
        name_pool(project, monkeypatch, big=[server.url, other.url])
        run_filter(project)
        asked = [len(one.asked) for one in (server, other)]
    assert sum(asked) == 4 * PARAMS.filter.samples
    assert min(asked) > 0


def test_filter_goes_on_with_the_replica_that_is_up(project, server, monkeypatch):
    monkeypatch.delenv("RELAY_TEACHER_URL")
    with FakeTeacher(server.tokenizer, server.write) as other:
        name_pool(project, monkeypatch, big=[server.url, other.url])
        server.always = Fault.refuse(503)
        run_filter(project)
    assert len(read_problems(project / "kept.jsonl")) == 4


def test_filter_refuses_a_pool_of_several_by_name(project, server, monkeypatch):
    name_pool(project, monkeypatch, cheap=[server.url], strong=[server.url])
    run_filter(project)  # RELAY_TEACHER_URL says whom
    monkeypatch.delenv("RELAY_TEACHER_URL")
    with pytest.raises(ConfigError, match=r"filter wants whole answers of one teacher.*cheap, strong"):
        run_filter(project)


def name_pool(project, monkeypatch, **teachers):
    path = project / "teachers.yaml"
    path.write_text(yaml.safe_dump({"teachers": [{"name": name, "urls": urls} for name, urls in teachers.items()]}))
    monkeypatch.setenv("RELAY_TEACHERS", str(path))


def test_filter_with_a_failing_teacher_stops_and_keeps_nothing(project, server):
    server.always = Fault.refuse(503)
    with pytest.raises(TeacherError, match="503"):
        run_filter(project)
    assert not (project / "kept.jsonl").exists()


def test_evaluation_of_the_teacher_asks_the_server(project, server):
    answers = AnswerCache(project / "answers.sqlite")
    models = Models(*[project / name for name in ("none", "none", "teacher", "none", "none")], answers)
    problems = read_problems(project / "data/train.jsonl")
    evaluation = Evaluation(PARAMS.evaluate, models, {"pens": problems}, [], say=lambda line: None)
    records = evaluation.answer_all([method("teacher", ["relay"], "relay")])["teacher"]
    assert [record.problem_id for record in records] == ["p0", "p1", "p2", "p3"]
    assert all(record.teacher_tokens == 0 and record.completion_tokens > 0 for record in records)


def test_filter_asks_nothing_twice_after_a_fault(project, server):
    server.faults += [None] * 5 + [Fault.refuse(503)] * 40
    with pytest.raises(TeacherError, match="503"):
        run_filter(project, slots=1)
    kept = len(AnswerCache(project / "runs" / FILE))
    server.faults.clear()
    before = len(server.asked)
    run_filter(project, slots=1)
    assert 0 < kept < 4 * PARAMS.filter.samples
    assert len(server.asked) - before == 4 * PARAMS.filter.samples - kept


@pytest.mark.slow
def test_filter_that_is_killed_in_the_middle_asks_only_for_what_is_missing(project, server):
    params = yaml.safe_load(Path("params/smoke.yaml").read_text(encoding="utf-8"))
    params["filter"] |= {"problems": 4, "min_pass_rate": 0.0}
    params["filter"]["decoding"] |= {"slots": 1, "max_new_tokens": 8}
    params["grpo"]["evaluate_problems"] = 2  # of four there must be some to train on
    (project / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    words = [sys.executable, "-m", "relayllm.cli", "filter", "--data", str(project / "data"), "--teacher",
             str(project / "teacher"), "--kept", str(project / "kept.jsonl"), "--metrics",
             str(project / "metrics.json")]
    server.token_seconds = 0.15
    with subprocess.Popen(words, cwd=project, start_new_session=True) as process:
        while not (project / "runs" / FILE).is_file() or not len(AnswerCache(project / "runs" / FILE)):
            assert process.poll() is None, "it was over before it could be killed"
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
    server.token_seconds, kept, before = 0.0, len(AnswerCache(project / "runs" / FILE)), len(server.asked)
    assert not (project / "kept.jsonl").exists()
    subprocess.run(words, cwd=project, check=True)
    assert len(read_problems(project / "kept.jsonl")) == 4
    assert 0 < kept < 4 * PARAMS.filter.samples
    assert len(server.asked) - before == 4 * PARAMS.filter.samples - kept
