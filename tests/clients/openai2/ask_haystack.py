"""Haystack's generator for chats: whole, and streamed to a callback."""

import os

from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.utils import Secret

model = OpenAIChatGenerator(api_key=Secret.from_token("none"), model="relay-decoder",
                            api_base_url=os.environ["RELAY_URL"], max_retries=0)
ask = [ChatMessage.from_system("Be brief."), ChatMessage.from_user("Pens?", name="ann")]
whole, = model.run(ask)["replies"]
parts: list[str] = []
streamed, = model.run([*ask, whole, ChatMessage.from_user("Sure?")],
                      streaming_callback=lambda part: parts.append(part.content))["replies"]
assert "".join(parts) == streamed.text == whole.text
assert whole.meta["usage"]["completion_tokens"] > 0
print(whole.text)
