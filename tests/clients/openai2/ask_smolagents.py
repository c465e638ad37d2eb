"""smolagents sends every message as a list of parts, and stops of its own; it counts the tokens of a stream."""

import os

from smolagents import ChatMessage, MessageRole, OpenAIServerModel

model = OpenAIServerModel(model_id="relay-decoder", api_base=os.environ["RELAY_URL"], api_key="none")
ask = [ChatMessage(role=role, content=[{"type": "text", "text": text}])
       for role, text in ((MessageRole.SYSTEM, "Be brief."), (MessageRole.USER, "Pens?"))]
whole = model.generate(ask, stop_sequences=["Observation:", "Calling tools:"])
parts = [*model.generate_stream(ask)]
assert "".join(part.content or "" for part in parts) == whole.content
assert sum(part.token_usage.output_tokens for part in parts if part.token_usage) == whole.token_usage.output_tokens
print(whole.content)
