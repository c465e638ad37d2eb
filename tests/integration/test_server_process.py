"""`relay serve` as a process: real models with random weights, curl, the openai client, a kill, a taken port."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import httpx
import pytest

from tests.support.fake_teacher import FakeTeacher
from tests.support.reference import greedy
from tests.support.serve_process import address_of, ready
from tests.support.small_models import pair, save_pair


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return save_pair(tmp_path_factory.mktemp("models"))


@contextmanager
def process(folders, *options, port=0, wait=True):
    words = [sys.executable, "-m", "relayllm.cli", "serve", str(folders / "student"), "--teacher",
             str(folders / "teacher"), "--port", str(port), *options]
    environment = {**os.environ, "PYTHONPATH": "src", "OMP_NUM_THREADS": "1", "RELAY_ROOT": str(folders)}
    environment.pop("RELAY_API_KEYS", None)
    running = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        running.url = address_of(running) if wait else ""
        yield running
    finally:
        running.kill()
        running.wait()


@pytest.fixture(scope="module")
def server(folders):
    with process(folders) as running:
        yield running


def test_served_pool_goes_on_to_its_second_teacher_and_names_it(folders, tmp_path):
    *_, teacher, tokenizer = pair()
    pool = tmp_path / "pool.yaml"
    ask = {"messages": [{"role": "user", "content": "There are pens in 12 boxes"}], "max_tokens": 20,
           "relay": {"call_bias": 12.0, "max_calls": 2}}
    with FakeTeacher(tokenizer, greedy(teacher)) as alive:
        pool.write_text(f"teachers:\n- {{name: cheap, urls: ['http://127.0.0.1:9']}}\n"
                        f"- {{name: strong, urls: ['{alive.url}']}}\n")
        with process(folders, "--teacher", str(pool)) as running:
            reply = httpx.post(f"{running.url}/v1/chat/completions", json=ask, timeout=60, trust_env=False).json()
    calls = reply["relay"]["calls"]
    assert calls
    assert [(call["teacher"], call["failed"]) for call in calls] == [("strong", False)] * len(calls)
    assert not reply["relay"]["degraded"]


def test_curl_streams_an_answer(server):
    body = json.dumps({"model": "relay-decoder", "stream": True, "max_tokens": 20,
                       "messages": [{"role": "user", "content": "What is 18 times 23?"}]})
    said = subprocess.run(["curl", "-sN", "--noproxy", "*", f"{server.url}/v1/chat/completions", "-H",
                           "content-type: application/json", "-d", body], capture_output=True, text=True, check=True)
    assert said.stdout.rstrip().endswith("data: [DONE]")
    assert '"relay"' in said.stdout


def test_openai_client_chats_streams_completes_and_sees_errors(server):
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0,
                           http_client=httpx.Client(trust_env=False))
    asked = {"model": "relay-decoder", "messages": [{"role": "user", "content": "How many pens?"}], "max_tokens": 24}
    whole = client.chat.completions.create(**asked, seed=3, temperature=0.8, logprobs=True, n=2)
    assert len(whole.choices) == 2
    assert whole.usage.completion_tokens == whole.relay["ledger"]["completion_tokens"]
    parts = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert parts[-1].usage.completion_tokens <= 24
    alone = client.chat.completions.create(**asked, extra_body={"relay": {"teacher": False}})
    assert alone.relay["call_ratio"] == 0
    text = client.completions.create(model="relay-decoder", prompt="How many", max_tokens=8, stop=["pens"], logprobs=1)
    assert len(text.choices[0].logprobs.tokens) == text.usage.completion_tokens
    assert [model.id for model in client.models.list()] == ["relay-decoder", "relay-decoder@champion"]
    with pytest.raises(openai.NotFoundError, match="not served here"):
        client.chat.completions.create(**{**asked, "model": "other"})
    with pytest.raises(openai.BadRequestError, match="temperature"):
        client.chat.completions.create(**asked, temperature=9)


def test_stream_and_whole_agree_on_real_models(server):
    ask = {"messages": [{"role": "user", "content": "Ann has 3 boxes."}], "seed": 5, "temperature": 1.0,
           "max_tokens": 60, "relay": {"call_bias": 15.0}}
    with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
        whole = client.post("/v1/chat/completions", json=ask).json()
        lines = client.post("/v1/chat/completions", json={**ask, "stream": True}).text.split("\n\n")
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines if line and "[DONE]" not in line]
    streamed = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert streamed == whole["choices"][0]["message"]["content"]
    assert chunks[-1]["relay"]["ledger"]["teacher_tokens"] == whole["relay"]["ledger"]["teacher_tokens"]
    assert whole["relay"]["calls"]


def test_taken_port_is_said_before_anything_is_loaded(folders):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with process(folders, port=taken.getsockname()[1], wait=False) as running:
            said = running.communicate(timeout=60)[0]
        assert running.returncode == 1
        assert "cannot listen on 127.0.0.1" in said
        assert "--port" in said
        assert "loading" not in said


def test_damaged_model_folder_is_said_in_one_line(folders, tmp_path):
    shutil.copytree(folders / "student", tmp_path / "student")
    (tmp_path / "teacher").symlink_to(folders / "teacher")
    weights = tmp_path / "student" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with process(tmp_path, wait=False) as running:
        said = running.communicate(timeout=60)[0]
    assert running.returncode == 1
    assert "Traceback" not in said
    assert "the folder is damaged" in said


def test_killed_server_gives_clients_a_clean_error_and_restarts(folders):
    ask = {"messages": [{"role": "user", "content": "x"}], "stream": True, "max_tokens": 400, "temperature": 1.0}
    with process(folders) as running:
        with httpx.Client(trust_env=False, timeout=60) as client:
            with client.stream("POST", f"{running.url}/v1/chat/completions", json=ask) as answer:
                lines = answer.iter_lines()
                next(lines)
                running.send_signal(signal.SIGKILL)
                with pytest.raises(httpx.TransportError):
                    list(lines)
            with pytest.raises(httpx.TransportError):
                client.get(f"{running.url}/health")
        port = int(running.url.rsplit(":", 1)[1])
    with process(folders, port=port) as again:
        assert ready(again.url)


def test_term_signal_lets_the_running_answer_finish(folders):
    ask = {"messages": [{"role": "user", "content": "x"}], "stream": True, "max_tokens": 120, "temperature": 1.0}
    with process(folders) as running, httpx.Client(trust_env=False, timeout=60) as client:
        with client.stream("POST", f"{running.url}/v1/chat/completions", json=ask) as answer:
            lines = answer.iter_lines()
            next(lines)
            running.terminate()
            assert [line for line in lines if line][-1] == "data: [DONE]"
        assert running.wait(60) in (0, -signal.SIGTERM)
