"""What passes between the engine and a request."""

import asyncio

from relayllm.relay.options import Options
from relayllm.relay.scheduler import GenerationRequest
from relayllm.serving.engine.requests import EngineRequest, RequestOutput, RequestOutputCollector


def news(inbox):
    return RequestOutput(EngineRequest(GenerationRequest((1,), Options()), inbox))


def test_inbox_gives_all_there_is_at_once():
    async def run():
        inbox = RequestOutputCollector()
        sent = [news(inbox), news(inbox)]
        for item in sent:
            inbox.put(item)
        assert await inbox.take() == sent
        assert await inbox.take(0.01) == []

    asyncio.run(run())


def test_inbox_wakes_who_waits():
    async def run():
        inbox = RequestOutputCollector()
        sent = news(inbox)
        waiting = asyncio.ensure_future(inbox.take(30))
        await asyncio.sleep(0)
        inbox.put(sent)
        assert await asyncio.wait_for(waiting, 5) == [sent]
        inbox.put(sent)
        assert await inbox.take() == [sent]

    asyncio.run(run())
