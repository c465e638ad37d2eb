"""inspect_ai reads log-probabilities as numbers and aborts where they are none."""

import asyncio
import os

from inspect_ai.model import GenerateConfig, get_model

model = get_model("openai-api/relay/relay-decoder", base_url=os.environ["RELAY_URL"], api_key="none",
                  responses_api=False, config=GenerateConfig(logprobs=True, top_logprobs=2, max_tokens=100))
output = asyncio.run(model.generate("Pens?"))
assert all(row.logprob <= 0 for row in output.choices[0].logprobs.content)
print(output.completion)
