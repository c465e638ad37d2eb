"""DSPy's language model, as a chat and as a text."""

import os

import dspy

OURS = {"api_base": os.environ["RELAY_URL"], "api_key": "none", "cache": False, "num_retries": 0}

text, = dspy.LM("openai/relay-decoder", **OURS)("Pens?")
assert dspy.LM("text-completion-openai/relay-decoder", model_type="text", **OURS)("Pens?") == [text]
print(text)
