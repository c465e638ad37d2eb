"""Hostile and malformed requests: nothing crashes, nothing is forged, memory stays flat."""

from __future__ import annotations

import os
import socket

import pytest

from tests.support.fakes_serving import serving
from tests.support.hostile_requests import attack

COUNT = int(os.environ.get("RELAY_FUZZ_REQUESTS", "500"))
LONG_COUNT = 10_000


def test_hostile_requests_get_an_error_or_an_answer():
    statuses, _ = attack(COUNT, seed=0)
    assert statuses.count(200) > COUNT // 50
    assert statuses.count(400) > COUNT // 2


@pytest.mark.slow
def test_ten_thousand_hostile_requests_leave_memory_flat():
    _, grown = attack(LONG_COUNT, seed=1)
    assert grown < 64 * 1024


def test_broken_http_is_dropped_and_the_next_client_is_served():
    with serving() as server:
        port = int(server.url.rsplit(":", 1)[1])
        for junk in (b"\x00\xff" * 100, b"GET / HTTP/9.9\r\n\r\n", b"POST /v1/completions HTTP/1.1\r\nHost: x\r\n"
                     b"Content-Length: 99999999999\r\n\r\n", b"POST /v1/completions HTTP/1.1\r\nHost: x\r\n"
                     b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", port), timeout=60) as wire:
                wire.sendall(junk)
        assert server.chat().status_code == 200


def test_openapi_description_holds_under_schemathesis():
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, given, settings

    with serving() as server:
        schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
        checks = [schemathesis.checks.not_a_server_error]
        for operation in schema.get_all_operations():
            @given(case=operation.ok().as_strategy())
            @settings(max_examples=15, deadline=None, database=None, suppress_health_check=list(HealthCheck))
            def run(case):
                answer = case.call(timeout=60)
                case.validate_response(answer, checks=checks)
                assert answer.status_code != 500

            run()
