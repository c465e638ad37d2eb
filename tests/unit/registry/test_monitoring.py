"""A served version held to its own record."""

import json
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from relayllm.errors import DataError, ServingError
from relayllm.problems.problem import Problem, write_problems
from relayllm.registry.gates import MonitorConfig
from relayllm.registry.monitoring import Endpoint, Observation, choose, drift, observe
from tests.support.small_packages import problem_scores

CONFIG = MonitorConfig(problems=4, confidence=0.95, max_drop=0.1, max_call_ratio_change=0.1, max_degraded_share=0.2,
                       act="warn")
RECORD = problem_scores(10, 10)


def seen(right: int, *, teacher: int = 2, degraded: int = 0) -> list[Observation]:
    one = Observation("pens", "", True, teacher, 40, False, "1")
    return [replace(one, problem_id=f"pens-{index}", correct=index < right, degraded=index < degraded)
            for index in range(10)]


def holds(found, name):
    return next(gate.passed for gate in found if gate.name == name)


def test_drift_as_recorded_is_none():
    assert all(gate.passed for gate in drift(seen(10), RECORD, CONFIG))


@pytest.mark.parametrize(("right", "fine"), [(9, True), (8, True), (3, False)])
def test_drift_in_accuracy_only_beyond_doubt(right, fine):
    assert holds(drift(seen(right), RECORD, CONFIG), "accuracy") is fine


@pytest.mark.parametrize(("teacher", "fine"), [(0, True), (5, True), (7, False), (20, False)])
def test_drift_in_call_ratio_against_the_same_problems(teacher, fine):
    assert holds(drift(seen(10, teacher=teacher), RECORD, CONFIG), "call_ratio") is fine


@pytest.mark.parametrize(("degraded", "fine"), [(2, True), (3, False)])
def test_drift_in_degraded_share(degraded, fine):
    assert holds(drift(seen(10, degraded=degraded), RECORD, CONFIG), "degraded") is fine


@pytest.mark.parametrize(("lost", "faults"), [(2, []), (9, ["degraded"]), (10, ["degraded"])])
def test_drift_of_answers_that_lost_their_teacher_is_not_the_versions(lost, faults):
    answers = [replace(item, correct=not item.degraded, teacher_tokens=40 if item.degraded else 2)
               for item in seen(10, degraded=lost)]
    found = drift(answers, RECORD, CONFIG)
    assert [gate.name for gate in found if not gate.passed] == faults


def test_choose_draws_only_what_was_scored_and_the_same_for_a_seed(tmp_path):
    problems = [Problem(f"pens-{index}", f"How many? {index}", "4", "pens") for index in range(20)]
    write_problems(tmp_path / "benchmarks/pens.jsonl", problems)
    drawn = choose(tmp_path, RECORD, 4, 1)
    assert len(drawn) == 4
    assert all(problem.id in RECORD["pens"] for _, problem in drawn)
    assert drawn == choose(tmp_path, RECORD, 4, 1) != choose(tmp_path, RECORD, 4, 2)


def test_choose_without_data_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match="dvc pull"):
        choose(tmp_path, RECORD, 4, 1)


@pytest.fixture
def server():
    """Answers every question with the box it was told to, and counts 3 of 30 tokens for the teacher."""
    replies = {"body": {"choices": [{"message": {"content": "It is \\boxed{4}."}}],
                        "relay": {"ledger": {"teacher_tokens": 3, "completion_tokens": 30}, "degraded": False,
                                  "version": "7"}}}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            body = json.dumps(replies["body"]).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}", replies
    running.shutdown()


def test_observe_grades_and_reads_the_ledger(server):
    url, _ = server
    problems = [("pens", Problem("a", "How many?", "4", "pens")), ("pens", Problem("b", "How many?", "5", "pens"))]
    right, wrong = observe(Endpoint(url), problems, 32)
    assert (right.correct, wrong.correct) == (True, False)
    assert (right.teacher_tokens, right.completion_tokens, right.version) == (3, 30, "7")


def test_ask_another_server_is_named(server):
    url, replies = server
    replies["body"] = {"choices": []}
    with pytest.raises(ServingError, match="relay serve"):
        Endpoint(url).ask(Problem("a", "How many?", "4", "pens"), "pens", 32)


def test_ask_nobody_says_what_to_start():
    with pytest.raises(ServingError, match="relay serve"):
        Endpoint("http://127.0.0.1:9", timeout=1).ask(Problem("a", "How many?", "4", "pens"), "pens", 32)
