"""OpenAI's own package: all three routes, whole and streamed, and the list of models."""

import os

from openai import OpenAI

MODEL, ASK = "relay-decoder", [{"role": "user", "content": "Pens?"}]
client = OpenAI(base_url=f"{os.environ['RELAY_URL']}/", api_key="none", max_retries=0)  # a slash is often left there

whole = client.chat.completions.create(model=MODEL, messages=ASK, logprobs=True)
text = whole.choices[0].message.content
assert all(isinstance(row.logprob, float) for row in whole.choices[0].logprobs.content)
parts = client.chat.completions.create(model=MODEL, messages=ASK, stream=True)
assert "".join(part.choices[0].delta.content or "" for part in parts if part.choices) == text
with client.chat.completions.stream(model=MODEL, messages=ASK, stream_options={"include_usage": True}) as stream:
    last = stream.get_final_completion()
assert (last.choices[0].message.content, last.usage.completion_tokens) == (text, whole.usage.completion_tokens)
again = client.chat.completions.create(model=MODEL, messages=[*ASK, whole.choices[0].message, *ASK])
assert again.choices[0].message.content == text

assert client.completions.create(model=MODEL, prompt="Pens?").choices[0].text == text
parts = client.completions.create(model=MODEL, prompt="Pens?", stream=True)
assert "".join(part.choices[0].text for part in parts if part.choices) == text

assert client.responses.create(model=MODEL, input="Pens?").output_text == text
with client.responses.stream(model=MODEL, input="Pens?") as stream:
    assert stream.get_final_response().output_text == text

assert client.models.retrieve(client.models.list().data[0].id).id == MODEL
print(text)
