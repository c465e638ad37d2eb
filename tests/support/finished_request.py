"""A request that was answered, for what is told of it afterwards."""

from __future__ import annotations

import time

from relayllm.engines.decoder import RelayDecoder
from relayllm.relay.options import Options
from relayllm.relay.prices import Prices
from relayllm.relay.trace import Trace
from relayllm.serving.engine.requests import EngineRequest, RequestOutputCollector
from tests.support.fakes_serving import scripted_decoder


class Served:
    """What a tracer reads of the deployment that answered."""

    name, version, alias = "relay-decoder", "4", "champion"
    prices = Prices(student=1.0, teacher=10.0)


def finished_request(decoder: RelayDecoder | None = None) -> tuple[EngineRequest, Trace]:
    """One completion of a decoder, or of one that calls twice, with the times of its hand-overs."""
    decoder = decoder or scripted_decoder()
    session = decoder.session(1)
    request = EngineRequest(decoder.request("x", Options(max_new_tokens=60)), RequestOutputCollector())
    handle = session.submit(request.generation)
    done = []
    while session.busy:
        done += session.step()
        row = session.row(handle)
        request.mark(row.authors if row else done[0].trace.authors, time.monotonic())
    request.ended = request.marks[-1][0] + 1.0
    return request, done[0].trace
