"""The README's own examples, as a reader copies them, on the model that was promoted here, or where RELAY_ROOT says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

import orjson
import pytest

from relayllm.registry.client import Registry
from relayllm.settings import current_settings
from tests.support.places import ROOT
from tests.support.serve_process import served

README = (ROOT / "README.md").read_text(encoding="utf-8")
NONE_HERE = "no model of the profile tiny was promoted here, and the README's examples were not tried: make pipeline"
[ANSWER] = re.findall(r"in the colours of who wrote it: (\d+)", README)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def promoted():
    """Settings of a project whose champion the tiny world's pipeline made."""
    settings = current_settings()
    registry = Registry(settings) if (settings.root / ".store/mlflow.db").is_file() else None
    champion = registry.champion("relay-decoder") if registry else None
    if champion is None or registry.params(champion)["profile"] != "tiny":
        pytest.skip(NONE_HERE)
    return settings


def test_python_example_answers_rightly(promoted):
    [code] = re.findall(r"```python\n(.*?)```", README, re.S)
    done = subprocess.run([sys.executable, "-c", code], cwd=promoted.root, text=True, capture_output=True, check=True)
    assert ANSWER in done.stdout
    assert "teacher" in done.stdout


def test_relay_generate_example_answers_rightly(promoted):
    [line] = re.findall(r"^relay (generate .*)$", README, re.M)
    done = subprocess.run([sys.executable, "-m", "relayllm.cli", *shlex.split(line)], text=True, capture_output=True,
                          env={**os.environ, "RELAY_ROOT": str(promoted.root)}, check=True)
    assert ANSWER in done.stdout


def test_curl_example_answers_rightly(promoted):
    [body] = re.findall(r"/v1/chat/completions .*?-d '(.*?)'\n```", README, re.S)
    with served(promoted) as client:
        answer = client.post("/v1/chat/completions", json=orjson.loads(body)).json()
    assert ANSWER in answer["choices"][0]["message"]["content"]
    assert answer["relay"]["call_ratio"] > 0
