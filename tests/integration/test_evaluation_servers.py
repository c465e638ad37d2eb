"""The evaluation with students behind servers: the same answers as with their weights in the process."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from relayllm.config import GREEDY, load_params
from relayllm.errors import ConfigError
from relayllm.evaluation.answer_cache import answer_cache
from relayllm.evaluation.answering import Evaluation
from relayllm.evaluation.cost import Cost
from relayllm.evaluation.counterfactual import counterfactuals
from relayllm.evaluation.methods import method
from relayllm.evaluation.models import Models
from relayllm.evaluation.needed_tokens import needed_tokens
from relayllm.problems.problem import Problem
from relayllm.problems.prompting import messages
from relayllm.settings import current_settings
from tests.support.fake_student import FakeStudent
from tests.support.fake_teacher import FakeTeacher, Fault
from tests.support.reference import greedy
from tests.support.small_models import pair

SMOKE = load_params(Path("params/smoke.yaml")).evaluate
CONFIG = SMOKE.model_copy(update={"decoding": SMOKE.decoding.model_copy(update={"max_new_tokens": 24}),
                                  "call_value_problems": 3})
PENS = [Problem(f"pens-{index}", f"A box has {index} pens. How many are in 3 boxes?", str(3 * index), "pens")
        for index in range(3)]
OPTIONS = {"max_new_tokens": 24, "max_calls": 2, "max_call_tokens": 9}


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """What the stages leave: the base models and a policy, here one student under three names."""
    student, tokenizer, teacher, theirs = pair()
    for name in ("base", "warmup", "grpo/relay/model"):
        student.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
    teacher.save_pretrained(tmp_path / "teacher")
    theirs.save_pretrained(tmp_path / "teacher")
    return tmp_path


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch):
    """Servers of the policy and of the teacher; `join` makes the environment name them."""
    student, tokenizer, teacher, _ = pair()

    with ExitStack() as stack:
        ours = stack.enter_context(FakeStudent(student, tokenizer))
        theirs = stack.enter_context(FakeTeacher(tokenizer, greedy(teacher)))

        def join(*, teacher: bool = True) -> None:
            monkeypatch.setenv("RELAY_STUDENT_URLS", f"relay={ours.url}")
            if teacher:
                monkeypatch.setenv("RELAY_TEACHER_URL", theirs.url)
        yield join


def models(folder: Path, answers) -> Models:
    return Models(folder / "base", folder / "warmup", folder / "teacher", folder / "others", folder / "grpo", answers)


def answered(folder: Path, name: str, runs: Path, **options):
    with answer_cache(runs) as answers:
        writer = models(folder, answers).writer(method(name, ["relay"], "relay"))
        return writer.generate([messages(problem) for problem in PENS], seed=0, **OPTIONS, **options)


@pytest.mark.parametrize(("name", "options"), [
    ("relay", {"call_bias": 12.0}), ("teacher-free", {"teacher_enabled": False}), ("relay", {"call_bias": -50.0})])
def test_method_answers_the_same_before_its_server(folders, servers, tmp_path, name, options):
    greedy = {**options, **GREEDY}
    here = answered(folders, name, tmp_path / "here", **greedy)
    servers()
    there = answered(folders, name, tmp_path / "there", **greedy)
    assert [trace.token_ids for trace in there] == [trace.token_ids for trace in here]
    assert [len(trace.calls) for trace in there] == [len(trace.calls) for trace in here]


@pytest.fixture
def pool(tmp_path, monkeypatch):
    """A pool whose only server writes as the small teacher does; `pool(text)` adds to its file."""
    _, tokenizer, teacher, _ = pair()
    path = tmp_path / "teachers.yaml"
    with FakeTeacher(tokenizer, greedy(teacher)) as server:
        def write(more: str = "", model: str = "", name: str = "big") -> FakeTeacher:
            path.write_text(f"teachers: [{{name: {name}, urls: ['{server.url}']{model}}}]\n{more}")
            monkeypatch.setenv("RELAY_TEACHERS", str(path))
            return server
        yield write


def test_method_answers_the_same_with_a_pool_which_its_calls_name(folders, pool, tmp_path):
    here = answered(folders, "relay", tmp_path / "here", call_bias=12.0, **GREEDY)
    pool()
    there = answered(folders, "relay", tmp_path / "there", call_bias=12.0, **GREEDY)
    assert [trace.token_ids for trace in there] == [trace.token_ids for trace in here]
    assert {call.teacher for trace in there for call in trace.calls} == {"big"}


def test_answers_of_a_pool_are_kept_until_its_file_says_something_else(folders, pool, tmp_path):
    def calls(**changes):
        server = pool(**changes)
        before = len(server.asked)
        answered(folders, "relay", tmp_path / "runs", call_bias=12.0, **GREEDY)
        return len(server.asked) - before

    asked = calls()
    assert asked
    assert calls() == 0
    assert calls(more="governance: {audit: audit.jsonl}\n") == 0
    assert calls(more="governance: {rules: [{name: email}]}\n") == asked
    assert calls(name="other") == asked
    assert calls(name="other", model=", model: big") == asked


def test_answer_whose_teacher_failed_is_asked_for_again(folders, pool, tmp_path):
    server = pool()
    server.always = Fault.refuse(400, "not today")
    failed = answered(folders, "relay", tmp_path / "runs", call_bias=12.0, **GREEDY)
    server.always = None
    helped = answered(folders, "relay", tmp_path / "runs", call_bias=12.0, **GREEDY)
    assert all(trace.degraded for trace in failed)
    assert not any(trace.degraded for trace in helped)


def test_teacher_alone_is_no_pool_of_several_and_nothing_is_decoded_before_that_is_said(folders, tmp_path, monkeypatch):
    monkeypatch.setenv("RELAY_TEACHERS", str(tmp_path / "teachers.yaml"))
    (tmp_path / "teachers.yaml").write_text(
        "teachers: [{name: cheap, urls: ['http://a']}, {name: strong, urls: ['http://b']}]")
    with answer_cache(tmp_path / "runs") as answers:
        evaluation = Evaluation(CONFIG, models(folders, answers), {"pens": PENS}, [], say=lambda line: None)
        with pytest.raises(ConfigError, match=r"row teacher .*cheap, strong.*RELAY_TEACHER_URL"):
            evaluation.answer_all([method(name, ["relay"], "relay") for name in ("teacher-free", "teacher")])
        assert not evaluation.done


def test_calls_are_tried_both_ways_and_shorter_before_a_server(folders, servers, tmp_path):
    found = []
    for runs in ("here", "there"):
        if runs == "there":
            servers()
        with answer_cache(tmp_path / runs) as answers:
            writer = models(folders, answers).writer(method("relay", ["relay"], "relay"))
            found.append((counterfactuals(writer, {"pens": PENS}, CONFIG, Cost(0.1, 3)),
                          needed_tokens(writer, {"pens": PENS}, CONFIG)))
    assert found[0] == found[1]


def test_answers_of_a_server_are_not_taken_for_those_of_the_folder(folders, servers, tmp_path):
    answered(folders, "teacher-free", tmp_path / "runs", teacher_enabled=False)
    servers()
    with answer_cache(tmp_path / "runs") as answers:
        writer = models(folders, answers).writer(method("teacher-free", ["relay"], "relay"))
        seen = []
        writer.generate([messages(problem) for problem in PENS], seed=0, teacher_enabled=False,
                        progress=lambda done, _: seen.append(done), **OPTIONS)
    assert seen[0] == 0


def test_served_student_whose_teacher_is_a_folder_is_refused(folders, servers, tmp_path):
    servers(teacher=False)
    with pytest.raises(ConfigError, match="RELAY_TEACHER_URL"):
        answered(folders, "relay", tmp_path / "runs")


@pytest.mark.parametrize("variable", ["RELAY_STUDENT_URLS", "RELAY_ROLLOUT_URLS"])
@pytest.mark.parametrize("text", ["relay", "relay=localhost:8000", "http://host:8000"])
def test_entry_that_names_no_student_or_no_address_is_refused(monkeypatch, variable, text):
    monkeypatch.setenv(variable, text)
    with pytest.raises(ConfigError, match=f"{variable} has .*NAME=http"):
        current_settings()


def test_name_that_is_there_twice_has_replicas(monkeypatch):
    monkeypatch.setenv("RELAY_STUDENT_URLS", "relay=http://a, relay=http://b,base=https://c")
    assert current_settings().student_urls == {"relay": ("http://a", "http://b"), "base": ("https://c",)}
