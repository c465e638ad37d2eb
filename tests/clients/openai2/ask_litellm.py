"""litellm, as `openai/` and as `hosted_vllm/`; it reads log-probabilities as numbers, and errors by their words."""

import os

import litellm

ASK = [{"role": "user", "content": "Pens?"}]
OURS = {"model": "openai/relay-decoder", "api_base": os.environ["RELAY_URL"], "api_key": "none"}

answer = litellm.completion(**OURS, messages=ASK, logprobs=True, top_logprobs=2)
text = answer.choices[0].message.content
assert all(row.logprob <= 0 for row in answer.choices[0].logprobs.content)
parts = litellm.completion(**OURS, messages=ASK, stream=True)
assert "".join(part.choices[0].delta.content or "" for part in parts) == text
marked = {"role": "user", "content": [{"type": "text", "text": "Pens?", "cache_control": {"type": "ephemeral"}}]}
again = litellm.completion(**{**OURS, "model": "hosted_vllm/relay-decoder"},
                           messages=[marked, answer.choices[0].message, *ASK])
assert again.choices[0].message.content == text
assert litellm.responses(**OURS, input="Pens?").output[0].content[0].text == text
for asked, fault in (({"messages": [{"role": "user", "content": "pens " * 2000}]}, litellm.ContextWindowExceededError),
                     ({"messages": ASK, "temperature": 9}, litellm.BadRequestError)):
    try:
        litellm.completion(**OURS, **asked)
        raise AssertionError(asked)
    except fault:
        pass
print(text)
