"""Agents of pydantic-ai over both routes for chats; the second question brings the first one's messages."""

import asyncio
import os

from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider


async def main() -> None:
    provider = OpenAIProvider(base_url=os.environ["RELAY_URL"], api_key="none")
    for kind in (OpenAIChatModel, OpenAIResponsesModel):
        agent = Agent(kind("relay-decoder", provider=provider), instructions="Be brief.")
        whole = await agent.run("Pens?")
        async with agent.run_stream("Sure?", message_history=whole.all_messages()) as stream:
            assert await stream.get_output() == whole.output
        assert whole.usage.output_tokens > 0
    print(whole.output)


asyncio.run(main())
