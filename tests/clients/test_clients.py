"""The simplest calls of other people's clients, from an environment of their own: `make test-clients`."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from relayllm.serving.api.limits import HttpLimits
from tests.support.fakes_serving import serving

pytestmark = pytest.mark.clients
TEXT = "There are 3 boxes with 4 pens. 3 x 4 = 12. The answer is 12."
HEAD = """import json, os
URL, MODEL = os.environ["RELAY_URL"], "relay-decoder"
ASK = [{"role": "user", "content": "Pens?"}]
"""
PYTHON = {
    "openai": """
from openai import OpenAI
client = OpenAI(base_url=URL, api_key='none', max_retries=0)
whole = client.chat.completions.create(model=MODEL, messages=ASK, logprobs=True)
parts = client.chat.completions.create(model=MODEL, messages=ASK, stream=True)
streamed = ''.join(part.choices[0].delta.content or '' for part in parts if part.choices)
assert streamed == whole.choices[0].message.content
assert all(isinstance(row.logprob, float) for row in whole.choices[0].logprobs.content)
again = client.chat.completions.create(model=MODEL, messages=[*ASK, whole.choices[0].message, *ASK])
assert again.choices[0].message.content == streamed
assert client.completions.create(model=MODEL, prompt='Pens?').choices[0].text == streamed
assert client.responses.create(model=MODEL, input='Pens?').output_text == streamed
print(whole.choices[0].message.content)
""",
    "litellm": """
import litellm
answer = litellm.completion(model='openai/' + MODEL, messages=ASK, api_base=URL, api_key='none', logprobs=True,
                            top_logprobs=2)
assert all(row.logprob <= 0 for row in answer.choices[0].logprobs.content)
parts = litellm.completion(model='openai/' + MODEL, messages=ASK, api_base=URL, api_key='none', stream=True)
assert ''.join(part.choices[0].delta.content or '' for part in parts) == answer.choices[0].message.content
for asked, fault in (({'messages': [{'role': 'user', 'content': 'pens ' * 2000}]}, litellm.ContextWindowExceededError),
                     ({'temperature': 9}, litellm.BadRequestError)):
    try:
        litellm.completion(**{'model': 'openai/' + MODEL, 'messages': ASK, 'api_base': URL, 'api_key': 'none', **asked})
        raise AssertionError(asked)
    except fault:
        pass
print(answer.choices[0].message.content)
""",
    "inspect_ai": """
import asyncio
from inspect_ai.model import GenerateConfig, get_model
model = get_model('openai-api/relay/' + MODEL, base_url=URL, api_key='none', responses_api=False,
                  config=GenerateConfig(logprobs=True, top_logprobs=2, max_tokens=100))
output = asyncio.run(model.generate('Pens?'))
assert all(row.logprob <= 0 for row in output.choices[0].logprobs.content)
print(output.completion)
""",
    "langchain_openai": """
from langchain_openai import ChatOpenAI
model = ChatOpenAI(model=MODEL, base_url=URL, api_key='none', max_retries=0)
answer = model.invoke('Pens?')
assert ''.join(part.content for part in model.stream('Pens?')) == answer.content
print(answer.content)
""",
    "instructor": """
import instructor, openai, pydantic
class Plain(pydantic.BaseModel):
    answer: int
client = instructor.from_openai(openai.OpenAI(base_url=URL, api_key='none', max_retries=0))
try:
    client.chat.completions.create(model=MODEL, messages=ASK, response_model=Plain, max_retries=0)
except Exception as error:
    assert 'tools are not supported by this server' in str(error), error
whole = client.chat.completions.create(model=MODEL, messages=ASK, response_model=None)
print(whole.choices[0].message.content)
""",
}
NODE = {
    "openai": """
import OpenAI from 'openai';
const client = new OpenAI({baseURL: process.env.RELAY_URL, apiKey: 'none', maxRetries: 0});
const ask = {model: 'relay-decoder', messages: [{role: 'user', content: 'Pens?'}]};
const whole = await client.chat.completions.create(ask);
let streamed = '';
for await (const part of await client.chat.completions.create({...ask, stream: true}))
  streamed += part.choices[0]?.delta?.content ?? '';
if (streamed !== whole.choices[0].message.content) throw new Error(streamed);
const response = await client.responses.create({model: 'relay-decoder', input: 'Pens?'});
if (response.output_text !== streamed) throw new Error(response.output_text);
console.log(streamed);
""",
}


@pytest.fixture(scope="module")
def place() -> Path:
    if "RELAY_CLIENTS" not in os.environ:
        pytest.skip("RELAY_CLIENTS names no environment with the clients: use `make test-clients`")
    return Path(os.environ["RELAY_CLIENTS"])


@pytest.fixture(scope="module")
def server():
    with serving(limits=HttpLimits(cap_tokens=True)) as running:
        yield running


def run(server, words, folder):
    """What a client prints, in a process without proxies."""
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    environment |= {"RELAY_URL": f"{server.url}/v1", "OPENAI_API_KEY": "none", "OPENAI_BASE_URL": f"{server.url}/v1",
                    "PROMPTFOO_DISABLE_TELEMETRY": "1", "PROMPTFOO_DISABLE_UPDATE": "1",
                    "PROMPTFOO_CONFIG_DIR": str(folder), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


@pytest.mark.parametrize("name", list(PYTHON))
def test_python_client_gets_the_answer(server, place, tmp_path, name):
    python = place / ("inspect" if name == "inspect_ai" else "") / "bin" / "python"
    if subprocess.run([python, "-c", f"import importlib.util as u; assert u.find_spec('{name}')"], check=False,
                      capture_output=True).returncode:
        pytest.skip(f"{name} is not installed in {place}")
    assert run(server, [python, "-c", HEAD + PYTHON[name]], tmp_path).rstrip().endswith(TEXT)


@pytest.mark.parametrize("name", list(NODE))
def test_node_client_gets_the_answer(server, place, name):
    if not (place / "node" / "node_modules" / name).is_dir():
        pytest.skip(f"{name} of npm is not installed in {place}")
    words = ["node", "--input-type=module", "-e", NODE[name]]
    assert run(server, words, place / "node").rstrip().endswith(TEXT)


def test_promptfoo_evaluates_with_its_own_number_of_tokens(server, place, tmp_path):
    program = place / "node" / "node_modules" / ".bin" / "promptfoo"
    if not program.exists() or not [*(place / "node" / "node_modules" / "better-sqlite3").rglob("*.node")]:
        pytest.skip(f"promptfoo of npm, or the database that it builds, is not installed in {place}")
    config = {"prompts": ["{{question}}"], "tests": [{"vars": {"question": "Pens?"},
                                                      "assert": [{"type": "contains", "value": "12"}]}],
              "providers": [{"id": "openai:chat:relay-decoder", "config": {"apiBaseUrl": f"{server.url}/v1",
                                                                           "apiKey": "none"}}]}
    (tmp_path / "promptfooconfig.json").write_text(json.dumps(config))
    run(server, [program, "eval", "-c", "promptfooconfig.json", "-o", "out.json", "--no-cache", "--no-progress-bar"],
        tmp_path)
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["results"]["stats"]["successes"] == 1
