"""The simplest calls of other people's clients, from environments of their own: `make test-clients`.

A client is a program `ask_<name>` in the folder of its environment, which prints the answer last.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from relayllm.serving.api.limits import HttpLimits
from tests.support.fakes_serving import serving

pytestmark = pytest.mark.clients
TEXT = "There are 3 boxes with 4 pens. 3 x 4 = 12. The answer is 12."
HERE = Path(__file__).parent
PROGRAMS = {f"{path.parent.name}/{path.stem}": path for path in sorted(HERE.glob("*/ask_*.*"))}


@pytest.fixture(scope="module")
def place() -> Path:
    if "RELAY_CLIENTS" not in os.environ:
        pytest.skip("RELAY_CLIENTS names no environment with the clients: use `make test-clients`")
    return Path(os.environ["RELAY_CLIENTS"])


@pytest.fixture(scope="module")
def server():
    with serving() as running:
        yield running


def run(server, words, folder):
    """What a client prints, in a process without proxies."""
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    environment |= {"RELAY_URL": f"{server.url}/v1", "OPENAI_API_KEY": "none", "OPENAI_BASE_URL": f"{server.url}/v1",
                    "PROMPTFOO_DISABLE_TELEMETRY": "1", "PROMPTFOO_DISABLE_UPDATE": "1", "HOME": str(folder),
                    "HAYSTACK_TELEMETRY_ENABLED": "false", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


@pytest.mark.parametrize("name", PROGRAMS)
def test_client_gets_the_answer(server, place, tmp_path, name):
    program = PROGRAMS[name]
    own = place / program.parent.name
    if not (own / ".installed").exists():
        pytest.skip(f"the clients of {program.parent.name} are not installed in {place}")
    if program.suffix == ".mjs":  # which looks for packages beside itself
        words, folder = ["node", shutil.copy(program, own)], own
    else:
        words, folder = [own / "bin" / "python", "-P", program], tmp_path
    assert run(server, words, folder).rstrip().endswith(TEXT)


@pytest.mark.parametrize("stream", [False, True])
def test_curl_of_the_guide_gets_the_answer(server, tmp_path, stream):
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    body = json.dumps({"messages": [{"role": "user", "content": "Pens?"}], "stream": stream})
    said = run(server, ["curl", "-sN", "--fail-with-body", f"{server.url}/v1/chat/completions", "-H",
                        "content-type: application/json", "-d", body], tmp_path)
    if not stream:
        assert json.loads(said)["choices"][0]["message"]["content"] == TEXT
        return
    *chunks, end = [line.removeprefix("data: ") for line in said.splitlines() if line]
    assert end == "[DONE]"
    assert "".join(json.loads(chunk)["choices"][0]["delta"].get("content", "") for chunk in chunks) == TEXT


def test_promptfoo_evaluates_with_its_own_number_of_tokens(place, tmp_path):
    program = place / "node" / "node_modules" / ".bin" / "promptfoo"
    if not program.exists() or not [*(place / "node" / "node_modules" / "better-sqlite3").rglob("*.node")]:
        pytest.skip(f"promptfoo of npm, or the database that it builds, is not installed in {place}")
    with serving(limits=HttpLimits(cap_tokens=True)) as server:
        config = {"prompts": ["{{question}}"], "tests": [{"vars": {"question": "Pens?"},
                                                          "assert": [{"type": "contains", "value": "12"}]}],
                  "providers": [{"id": "openai:chat:relay-decoder", "config": {"apiBaseUrl": f"{server.url}/v1",
                                                                               "apiKey": "none"}}]}
        (tmp_path / "promptfooconfig.json").write_text(json.dumps(config))
        run(server, [program, "eval", "-c", "promptfooconfig.json", "-o", "out.json", "--no-cache",
                     "--no-progress-bar"], tmp_path)
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["results"]["stats"]["successes"] == 1
