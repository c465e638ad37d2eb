"""instructor asks for tools, which are refused by name; without a model of the answer it gets one."""

import os

import instructor
import openai
import pydantic

ASK = {"model": "relay-decoder", "messages": [{"role": "user", "content": "Pens?"}]}


class Plain(pydantic.BaseModel):
    """What instructor would read from an answer."""

    answer: int


client = instructor.from_openai(openai.OpenAI(base_url=os.environ["RELAY_URL"], api_key="none", max_retries=0))
refusal = ""
try:
    client.chat.completions.create(**ASK, response_model=Plain, max_retries=0)
except Exception as error:
    refusal = str(error)
assert "tools are not supported by this server" in refusal, refusal
print(client.chat.completions.create(**ASK, response_model=None).choices[0].message.content)
