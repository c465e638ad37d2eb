"""langchain-openai: a chat over both routes for it, with usage asked for, and a text."""

import os

from langchain_core.messages import HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI, OpenAI

OURS = {"model": "relay-decoder", "base_url": os.environ["RELAY_URL"], "api_key": "none", "max_retries": 0}
ASK = [SystemMessage("Be brief."), HumanMessage("Pens?", name="ann")]

for model in (ChatOpenAI(**OURS, stream_usage=True), ChatOpenAI(**OURS, use_responses_api=True)):
    whole = model.invoke(ASK)
    parts = [*model.stream([*ASK, whole, HumanMessage([{"type": "text", "text": "Sure?"}])])]
    assert "".join(part.text for part in parts) == whole.text
    assert sum((part.usage_metadata or {}).get("output_tokens", 0) for part in parts) > 0
assert "".join(OpenAI(**OURS).stream("Pens?")) == OpenAI(**OURS).invoke("Pens?") == whole.text
print(whole.text)
