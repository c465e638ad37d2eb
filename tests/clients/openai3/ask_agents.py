"""OpenAI's Agents SDK over both routes for chats; the second run brings the first one's items."""

import asyncio
import os

from agents import Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, set_tracing_disabled
from openai import AsyncOpenAI


async def main() -> None:
    set_tracing_disabled(True)
    client = AsyncOpenAI(base_url=os.environ["RELAY_URL"], api_key="none", max_retries=0)
    for kind in (OpenAIChatCompletionsModel, OpenAIResponsesModel):
        agent = Agent(name="Pens", instructions="Be brief.", model=kind("relay-decoder", client))
        whole = await Runner.run(agent, "Pens?")
        streamed = Runner.run_streamed(agent, [*whole.to_input_list(), {"role": "user", "content": "Sure?"}])
        parts = [event.data.delta async for event in streamed.stream_events()
                 if event.type == "raw_response_event" and event.data.type == "response.output_text.delta"]
        assert "".join(parts) == streamed.final_output == whole.final_output
    print(whole.final_output)


asyncio.run(main())
