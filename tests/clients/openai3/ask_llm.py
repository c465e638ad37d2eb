"""The command `llm`, whose models stand in a file: whole, streamed in a conversation that goes on, and as a text."""

import json
import os
import subprocess
import sys
from pathlib import Path

HOME = Path("llm-home")
HOME.mkdir()
OURS = {"model_name": "relay-decoder", "api_base": os.environ["RELAY_URL"]}
(HOME / "extra-openai-models.yaml").write_text(json.dumps([
    {"model_id": "relay", **OURS}, {"model_id": "relay-text", **OURS, "completion": True}]))


def llm(*words: str) -> str:
    return subprocess.run([sys.executable, "-m", "llm", *words], env=os.environ | {"LLM_USER_PATH": str(HOME)},
                          check=True, stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL).stdout.strip()


text = llm("-m", "relay", "--no-stream", "-s", "Be brief.", "Pens?")
assert llm("-m", "relay", "-c", "Sure?") == text
assert llm("-m", "relay-text", "Pens?") == text
print(text)
