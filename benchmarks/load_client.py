"""Many HTTP clients on one event loop, light enough not to be what is measured."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

HEAD = b"POST /v1/completions HTTP/1.1\r\nhost: load\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"


@dataclass
class Load:
    """What the clients saw."""

    tokens: int = 0
    seconds: float = 0.0
    firsts: list[float] = field(default_factory=list)
    """Seconds to the first token, of streams."""
    faults: list[bytes] = field(default_factory=list)
    """Status lines that are not 200."""

    @property
    def speed(self) -> float:
        """Tokens per second."""
        return self.tokens / self.seconds

    def __add__(self, other: Load) -> Load:
        return Load(self.tokens + other.tokens, self.seconds + other.seconds, self.firsts + other.firsts,
                    self.faults + other.faults)


def load(port: int, bodies: Sequence[Sequence[dict]]) -> Load:
    """Ask: one client for each list of bodies, which it sends one after the other over one connection."""
    seen = Load()

    async def run() -> None:
        await asyncio.gather(*(_client(port, its, seen) for its in bodies))

    started = time.perf_counter()
    asyncio.run(run())
    seen.seconds = time.perf_counter() - started
    return seen


async def _client(port: int, bodies: Sequence[dict], seen: Load) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for body in bodies:
        raw = json.dumps(body).encode()
        started = time.perf_counter()
        writer.write(HEAD % len(raw) + raw)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
        except (asyncio.IncompleteReadError, ConnectionResetError):  # closed while it was idle: once more
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(HEAD % len(raw) + raw)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b" 200 " not in head.partition(b"\r\n")[0]:
            seen.faults.append(head.partition(b"\r\n")[0])
            break
        if body.get("stream"):
            answer = await _streamed(reader, seen, started)
        else:
            answer = await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r")[0]))
        seen.tokens += int(answer.rpartition(b'"usage":')[2].split(b'"completion_tokens":')[1].split(b",")[0])
    writer.close()


async def _streamed(reader: asyncio.StreamReader, seen: Load, started: float) -> bytes:
    """Read a stream to its end; returns its last part."""
    answer = b""
    while not answer.endswith(b"0\r\n\r\n"):
        part = await reader.read(1 << 16)
        if not answer and b"data: {" in part:
            seen.firsts.append(time.perf_counter() - started)
        answer = (answer + part)[-2000:]
    return answer
