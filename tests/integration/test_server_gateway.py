"""`relay serve --student URL`: the API with no model in its process, before servers that hold the weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from argparse import ArgumentParser
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from relayllm import RelayDecoder
from relayllm.commands.serve import add_arguments, load_bounded
from relayllm.errors import ConfigError, ModelError, StudentError
from relayllm.packaging.folder import Package, ParityCase
from relayllm.processes import free_port
from relayllm.serving.models.decoders import check_weights
from relayllm.serving.models.loading import FoundModel, load
from tests.support.fake_student import FakeStudent
from tests.support.fake_teacher import FakeTeacher, Fault
from tests.support.fakes_serving import serving
from tests.support.real_packages import project, real_parts, varied
from tests.support.reference import greedy
from tests.support.small_models import make_model, pair
from tests.support.small_packages import DECODING
from tests.support.waiting import eventually

MESSAGES = {"messages": [{"role": "user", "content": "There are pens in 12 boxes"}], "max_tokens": 20,
            "relay": {"call_bias": 12.0, "max_calls": 2}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    student, tokenizer, *_ = pair()
    path = tmp_path_factory.mktemp("student")
    student.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> FoundModel:
    """A package of the pools' models, whose answers have up to 400 tokens."""
    root = tmp_path_factory.mktemp("package")
    folder = varied(real_parts(root / "models"), project(root), "package", 5,
                    decoding={**DECODING, "max_new_tokens": 400})
    return FoundModel("relay-decoder", "1", folder)


@pytest.fixture
def pools():
    """Two student servers and a teacher's."""
    student, tokenizer, teacher, _ = pair()

    with ExitStack() as stack:
        students = [stack.enter_context(FakeStudent(student, tokenizer)) for _ in range(2)]
        yield students, stack.enter_context(FakeTeacher(tokenizer, greedy(teacher)))


@pytest.fixture
def gateway(folder, pools):
    students, teacher = pools
    decoder = RelayDecoder.from_servers([server.url for server in students], folder, teacher.url)
    with serving(decoder) as server:
        yield server


@pytest.fixture(scope="module")
def local():
    return RelayDecoder.from_models(*pair())


def test_gateway_answers_as_a_server_with_the_models_does(gateway, local):
    with serving(local) as whole:
        wanted = whole.client.post("/v1/chat/completions", json=MESSAGES).json()
    found = gateway.client.post("/v1/chat/completions", json=MESSAGES).json()
    assert found["choices"] == wanted["choices"]
    assert found["usage"] == wanted["usage"]
    assert [call["delivered"] for call in found["relay"]["calls"]] == [
        call["delivered"] for call in wanted["relay"]["calls"]]
    assert found["relay"]["calls"]


def test_gateway_streams_the_same_text(gateway):
    whole = gateway.client.post("/v1/chat/completions", json=MESSAGES).json()["choices"][0]["message"]["content"]
    text = gateway.client.post("/v1/chat/completions", json={**MESSAGES, "stream": True}).text
    events = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    assert "".join(event["choices"][0]["delta"].get("content", "") for event in events if event["choices"]) == whole


def test_gateway_asks_for_logprobs_only_where_the_request_does(gateway, pools):
    """They cost a server a pass over its vocabulary and the gateway half of what it reads."""
    def asked() -> list[int | None]:
        return [body.get("logprobs") for server in pools[0] for body in server.asked]

    plain = gateway.client.post("/v1/chat/completions", json=MESSAGES).json()["choices"][0]
    assert set(asked()) == {None}
    scored = gateway.client.post("/v1/chat/completions", json={**MESSAGES, "logprobs": True}).json()["choices"][0]
    assert set(asked()) == {None, 0}
    assert scored["message"] == plain["message"]
    assert any(token["logprob"] < 0 for token in scored["logprobs"]["content"])


def test_gateway_goes_on_at_the_other_replica(gateway, pools):
    students, _ = pools
    wanted = gateway.client.post("/v1/chat/completions", json=MESSAGES).json()["choices"]
    for server in students:
        server.always = Fault.cut(1)
        assert gateway.client.post("/v1/chat/completions", json=MESSAGES).json()["choices"] == wanted
        server.always = None


def test_gateway_without_any_student_lets_the_teacher_finish_and_says_so(gateway, pools):
    for server in pools[0]:
        server.always = Fault.refuse(503)
    answer = gateway.client.post("/v1/chat/completions", json=MESSAGES).json()
    assert answer["relay"]["degraded"] is True
    assert answer["choices"][0]["message"]["content"]


def test_gateway_without_student_and_teacher_is_503_tells_no_address_and_answers_the_next_one(folder, pools, caplog):
    students, _ = pools
    with serving(RelayDecoder.from_servers([server.url for server in students], folder)) as server:
        for each in students:
            each.always = Fault.refuse(503)
        answer = server.client.post("/v1/chat/completions", json=MESSAGES)
        assert answer.status_code == 503
        assert "answered 503" in answer.json()["error"]["message"]
        assert "127.0.0.1" not in answer.text
        assert any(each.url in caplog.text for each in students)  # who runs the server reads it there
        for each in students:
            each.always = None
        assert eventually(lambda: server.client.post("/v1/chat/completions", json=MESSAGES).status_code == 200)


def test_gateway_tells_which_student_is_up_and_is_ready_while_one_or_the_teacher_is(folder, pools, monkeypatch):
    monkeypatch.setenv("RELAY_STUDENT_BREAKER_SECONDS", "0.2")
    (first, second), teacher = pools
    urls = [first.url, second.url]

    def up(server) -> list[float]:
        return [server.metric(f'relay_student_up{{alias="champion",replica="{place}"') for place in (0, 1)]

    with (serving(RelayDecoder.from_servers(urls, folder)) as alone,
          serving(RelayDecoder.from_servers(urls, folder, teacher.url)) as helped):
        assert up(alone) == [1, 1]
        assert alone.client.get("/ready").status_code == 200
        first.__exit__()
        assert eventually(lambda: up(alone) == [0, 1])
        assert alone.client.get("/ready").status_code == 200
        second.__exit__()
        assert eventually(lambda: up(alone) == [0, 0] == up(helped))
        assert alone.client.get("/ready").status_code == 503
        assert helped.client.get("/ready").status_code == 200


def test_gateway_cannot_score_a_prompt_and_says_so(gateway):
    answer = gateway.client.post("/v1/completions", json={"prompt": "There", "max_tokens": 2, "echo": True,
                                                          "logprobs": 1})
    assert answer.status_code == 400
    assert "scores the prompt" in answer.json()["error"]["message"]


def test_weights_of_another_student_are_refused(folder, pools, local):
    students, teacher = pools
    found = local.generate(["There are pens", "ok."], max_new_tokens=16, max_calls=0)
    parity = [{"benchmark": "pens", "problem_id": str(place), "prompt": prompt, "text": trace.text,
               "token_ids": list(trace.token_ids)}
              for place, (prompt, trace) in enumerate(zip(["There are pens", "ok."], found, strict=True))]
    package = Package(folder, {"format": 2, "parity": parity})
    assert isinstance(package.parity[0], ParityCase)
    check_weights(RelayDecoder.from_servers([students[0].url], folder, teacher.url), package)
    stranger, tokenizer = make_model("qwen3", pair()[1], seed=77), pair()[1]
    with FakeStudent(stranger, tokenizer) as other, pytest.raises(StudentError, match="other weights"):
        check_weights(RelayDecoder.from_servers([other.url], folder), package)


def test_package_is_served_by_students_that_have_its_weights(package, pools):
    students, teacher = pools
    loaded = load(package, teacher.url, students=[server.url for server in students])
    assert loaded.decoder.student.replicas_up == [True, True]
    loaded.decoder.close()


def test_replica_of_other_weights_than_the_packages_is_refused_by_its_address(package, pools):
    (right, _), teacher = pools
    stranger, tokenizer = make_model("qwen3", pair()[1], seed=77), pair()[1]
    with FakeStudent(stranger, tokenizer) as other:
        with pytest.raises(StudentError, match=rf"{other.url}.*of 3 packed questions.*other weights"):
            load(package, teacher.url, students=[other.url, other.url])
        with pytest.raises(StudentError, match="other weights"):
            load(package, teacher.url, students=[right.url, other.url])


@pytest.mark.parametrize("short", ["student", "teacher"])
def test_context_too_short_for_the_packages_answers_is_refused_with_both_numbers(package, short):
    student, tokenizer, teacher, _ = pair()
    sizes = {"student": 4096, "teacher": 4096, short: 300}
    with (FakeStudent(student, tokenizer, context=sizes["student"]) as ours,
          FakeTeacher(tokenizer, greedy(teacher), context=sizes["teacher"]) as theirs,
          pytest.raises(ConfigError, match=r"read 300 tokens.*up to 400.*--max-model-len")):
        load(package, theirs.url, students=[ours.url])


def test_teacher_that_is_away_hinders_no_start(package, pools):
    (student, _), _ = pools
    load(package, f"http://127.0.0.1:{free_port()}", students=[student.url]).decoder.close()


def test_loads_that_fail_leave_no_thread_behind(folder, pools):
    """Before a pool that is not the champion's yet, the registry's alias is tried every few seconds."""
    (student, _), teacher = pools
    parser = ArgumentParser()
    add_arguments(parser)
    found, before = FoundModel("relay-decoder", "1", folder), threading.active_count()
    with FakeStudent(*pair()[:2], grammar=False) as wrong:
        for url, context in ((wrong.url, "100"), (student.url, "5000")):
            options = parser.parse_args(["--teacher", teacher.url, "--student", url, "--max-context", context])
            for _ in range(5):
                with pytest.raises((StudentError, ConfigError)):
                    load_bounded(options, found)
    assert eventually(lambda: threading.active_count() <= before)


def test_student_servers_with_a_teacher_in_a_folder_are_refused(folder, pools):
    found = FoundModel("relay-decoder", "1", folder)
    with pytest.raises((ConfigError, ModelError), match="--teacher URL"):
        load(found, str(folder), students=[pools[0][0].url])


@pytest.mark.slow
def test_relay_serve_with_servers_loads_no_model(folder, pools):
    students, teacher = pools
    words = [sys.executable, "-m", "relayllm.cli", "serve", str(folder), "--port", "0", "--teacher", teacher.url]
    words += [word for server in students for word in ("--student", server.url)]
    environment = {**os.environ, "PYTHONPATH": "src", "RELAY_ROOT": str(folder)}
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True) as process:
        try:
            line = next(line for line in process.stdout if line.startswith("serving"))
            url = line.split(" on ")[1].split()[0]
            assert eventually(lambda: ready(url))
            answer = httpx.post(f"{url}/v1/chat/completions", json=MESSAGES, timeout=30).json()
            assert answer["relay"]["calls"]
        finally:
            process.terminate()


def ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ready", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False
