"""The judge, over HTTP: a chat server in this process that says what the test wants."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pandas as pd
import pytest

from relayllm.config import JudgeConfig
from relayllm.engines.openai.options import RemoteOptions
from relayllm.errors import JudgeError
from relayllm.evaluation.analysis.summary import Limits, Provenance, build_summary
from relayllm.evaluation.answer_cache import AnswerCache
from relayllm.evaluation.judging import KEY_VARIABLE, LONGEST, Judge, verdict
from relayllm.evaluation.records import read_records, write_records
from relayllm.evaluation.report.markdown import markdown
from relayllm.evaluation.report.render import Material, html
from tests.support.make_records import make_records

CONFIG = JudgeConfig(model="arbiter", prompt="equivalence-1", max_tokens=64)
PATIENCE = RemoteOptions(attempts=3, backoff_seconds=0.01, connections=3)


class Arbiter(ThreadingHTTPServer):
    """Says `say(prompt)`; before that, each status in `faults` once."""

    daemon_threads = True

    def __init__(self, say):
        super().__init__(("127.0.0.1", 0), Bench)
        self.say, self.faults, self.bodies, self.keys = say, [], [], []
        self.lock, self.at_work, self.most_at_work = threading.Lock(), 0, 0
        self.url = f"http://127.0.0.1:{self.server_port}/v1"


class Bench(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with server.lock:
            server.bodies.append(body)
            server.keys.append(self.headers.get("authorization"))
            server.at_work += 1
            server.most_at_work = max(server.most_at_work, server.at_work)
            status = server.faults.pop(0) if server.faults else 200
        said = server.say(body["messages"][-1]["content"]) if status == 200 else ""
        answer = {"choices": [{"message": {"content": said}}]} if status == 200 else {"error": {"message": "no"}}
        data = json.dumps(answer if self.path == "/v1/chat/completions" else {}).encode()
        with server.lock:
            server.at_work -= 1
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@contextmanager
def arbiter(say):
    server = Arbiter(say)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def answer_of(prompt):
    return prompt.split("<answer>")[1].split("</answer>")[0].strip()


def records(*texts, correct=True):
    one = make_records("base", problems=1, benchmarks=("pens",))[0]
    return [replace(one, problem_id=f"p{index}", text=text, correct=correct) for index, text in enumerate(texts)]


def test_judge_says_its_own_of_right_and_wrong_answers_alike():
    with arbiter(lambda prompt: f"Verdict: {'CORRECT' if 'yes' in answer_of(prompt) else 'INCORRECT'}") as server:
        judge = Judge(CONFIG, server.url, PATIENCE)
        for correct in (True, False):
            assert judge.verdicts(records("yes", "no", correct=correct)) == [True, False]


def test_judge_is_asked_at_temperature_0_by_name_and_never_told_the_rules_grade():
    with arbiter(lambda prompt: "Verdict: CORRECT") as server:
        Judge(CONFIG, server.url, PATIENCE).verdicts(records("six", correct=False))
        Judge(CONFIG, server.url, PATIENCE).verdicts(records("six", correct=True))
        first, second = server.bodies
    assert (first["model"], first["temperature"], first["max_tokens"]) == ("arbiter", 0, 64)
    assert first == second


def test_judge_reads_the_end_of_a_long_answer_and_equal_answers_once():
    long = "x" * 2 * LONGEST + " The answer is 7."
    with arbiter(lambda prompt: "Verdict: CORRECT") as server:
        assert Judge(CONFIG, server.url, PATIENCE).verdicts(records(long, long, long)) == [True] * 3
        assert len(server.bodies) == 1
        assert answer_of(server.bodies[0]["messages"][0]["content"]).endswith("The answer is 7.")


def test_unclear_verdict_is_none():
    with arbiter(lambda prompt: "I would rather not say.") as server:
        assert Judge(CONFIG, server.url, PATIENCE).verdicts(records("six")) == [None]


def test_answer_that_the_judge_refuses_to_read_is_unclear_but_a_refusal_at_the_start_is_not():
    with arbiter(lambda prompt: "Verdict: CORRECT") as server:
        server.faults = [400]
        assert sorted(Judge(CONFIG, server.url, PATIENCE).verdicts(records("six", "seven")), key=str) == [None, True]
        server.faults = [400]
        with pytest.raises(JudgeError, match="answered 400"):
            Judge(CONFIG, server.url, PATIENCE).verify()


def test_judge_without_a_verdict_on_a_plain_question_is_refused():
    with arbiter(lambda prompt: "Hm.") as server, pytest.raises(JudgeError, match="no verdict on 1"):
        Judge(CONFIG, server.url, PATIENCE).verify()


@pytest.mark.parametrize(("said", "means"), [
    ("Verdict: CORRECT", True), ("... so **Verdict:** INCORRECT.", False), ("verdict - incorrect", False),
    ("Verdict: CORRECT? No.\nVerdict: INCORRECT", False), ("CORRECT", None), ("", None),
    ("The verdict is that CORRECT and INCORRECT are words", None)])
def test_verdict_is_the_last_one_said(said, means):
    assert verdict(said) is means


def test_busy_judge_is_asked_again_and_few_questions_run_at_once():
    with arbiter(lambda prompt: "Verdict: CORRECT") as server:
        server.faults = [429, 503]
        assert Judge(CONFIG, server.url, PATIENCE).verdicts(records(*map(str, range(20)))) == [True] * 20
        assert len(server.bodies) == 22
        assert server.most_at_work <= PATIENCE.connections


def test_judge_that_keeps_failing_leaves_no_half_column():
    with arbiter(lambda prompt: "Verdict: CORRECT") as server:
        server.faults = [500] * 60
        with pytest.raises(JudgeError, match=r"3 attempts.*evaluate\.judge to null"):
            Judge(CONFIG, server.url, PATIENCE).verdicts(records(*map(str, range(20))))


def test_key_comes_from_the_environment_and_a_wrong_one_is_said_at_once(monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, "secret")
    with arbiter(lambda prompt: "Verdict: CORRECT") as server:
        Judge(CONFIG, server.url, PATIENCE).verify()
        assert server.keys == ["Bearer secret"]
        server.faults = [401]
        with pytest.raises(JudgeError, match=r"judge at .* answered 401.*RELAY_JUDGE_API_KEY"):
            Judge(CONFIG, server.url, PATIENCE).verify()
        assert len(server.bodies) == 2


def test_judge_out_of_reach_is_named():
    with arbiter(str) as server:
        url = server.url
    with pytest.raises(JudgeError, match=url.removesuffix("/v1")):
        Judge(CONFIG, url, PATIENCE).verify()


@pytest.mark.parametrize(("config", "url", "says"), [
    (CONFIG, None, "RELAY_JUDGE_URL is not set"),
    (CONFIG.model_copy(update={"prompt": "other"}), "http://x", "equivalence-1")])
def test_judge_that_cannot_be_asked_says_what_to_change(config, url, says):
    with pytest.raises(JudgeError, match=says):
        Judge(config, url, PATIENCE)


def test_verdict_is_asked_for_once_whatever_happens_in_between(tmp_path):
    rows = [replace(row, text=f"It is {place}.") for place, row in enumerate(make_records("base", problems=2))]
    answers, alone = AnswerCache(tmp_path / "answers.sqlite"), replace(PATIENCE, connections=1, attempts=1)
    with arbiter(lambda prompt: "Verdict: CORRECT") as server:
        server.faults += [200] * 5 + [400 + 1]
        with pytest.raises(JudgeError, match="401"):
            Judge(CONFIG, server.url, alone, answers).verdicts(rows)
        asked = len(server.bodies)
        assert Judge(CONFIG, server.url, alone, answers).verdicts(rows) == [True] * len(rows)
        assert len(server.bodies) - asked == len(rows) - 5
        Judge(CONFIG, server.url, alone, answers).verdicts(rows)
        assert len(server.bodies) - asked == len(rows) - 5


def test_verdicts_travel_as_a_column_of_their_own_into_both_reports(tmp_path):
    for name in ("base", "relay-difficulty", "teacher"):
        rows = make_records(name, problems=4, benchmarks=("pens",))
        rows = [replace(row, correct=index < 2) for index, row in enumerate(rows)]
        write_records(tmp_path / f"{name}.parquet", rows, [True, False, True, None])
    frame = read_records(tmp_path)
    summary = build_summary(frame, Provenance("tiny", 0, "", "", {}), Limits(4, 9), bootstrap=50,
                            relay="relay-difficulty")
    assert summary["judge"]["base"] == {"both_right": 1, "rule_only": 1, "judge_only": 1, "both_wrong": 0, "unclear": 1}
    cell = summary["methods"]["base"]["average"]
    assert (cell["accuracy"], cell["accuracy_judged"]) == (0.5, 0.5)  # the unclear one counts as the rule has it
    assert pd.isna(frame["judged"]).sum() == 3
    assert "## Rule and judge" in markdown(summary, Material({}))
    assert 'id="judge"' in html(summary, Material({}))


def test_without_a_judge_nothing_is_said_of_one(tmp_path):
    write_records(tmp_path / "base.parquet", make_records("base", problems=2))
    summary = build_summary(read_records(tmp_path), Provenance("tiny", 0, "", "", {}), Limits(4, 9), bootstrap=50,
                            relay="relay-difficulty")
    assert summary["judge"] is None
    assert "Rule and judge" not in markdown(summary, Material({}))
    assert 'id="judge"' not in html(summary, Material({}))
