"""What passes between the engine and a request."""

import asyncio

from relayllm.relay.options import GenerationRequest, Options
from relayllm.serving.engine.requests import EngineRequest, RequestOutput, RequestOutputCollector


def outputs(collector):
    return RequestOutput(EngineRequest(GenerationRequest((1,), Options()), collector))


def test_collector_gives_all_there_is_at_once():
    async def run():
        collector = RequestOutputCollector()
        sent = [outputs(collector), outputs(collector)]
        for item in sent:
            collector.put(item)
        assert await collector.take() == sent
        assert await collector.take(0.01) == []

    asyncio.run(run())


def test_collector_wakes_who_waits():
    async def run():
        collector = RequestOutputCollector()
        sent = outputs(collector)
        waiting = asyncio.ensure_future(collector.take(30))
        await asyncio.sleep(0)
        collector.put(sent)
        assert await asyncio.wait_for(waiting, 5) == [sent]
        collector.put(sent)
        assert await collector.take() == [sent]

    asyncio.run(run())
