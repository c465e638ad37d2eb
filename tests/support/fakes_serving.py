"""A decoder with scripted models: the scheduler, the tokenizer and the grammar are the real ones."""

from __future__ import annotations

import asyncio
import copy
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from relayllm.commands.serve import take_port
from relayllm.engines.commands import command_tokens
from relayllm.engines.decoder import RelayDecoder
from relayllm.problems.tiny_world.tokenizer import build_tokenizer
from relayllm.relay.command import CALL, END_CALL
from relayllm.relay.engine import StepInput, StepOutput
from relayllm.relay.options import Options
from relayllm.relay.prices import Prices
from relayllm.relay.teacher import LocalTeacher
from relayllm.relay.vocabulary import plain_ids
from relayllm.serving.api.app import HttpLimits, create_app
from relayllm.serving.auth import Keys
from relayllm.serving.budgets.local import Budgets
from relayllm.serving.metrics import Metrics
from relayllm.serving.models.loading import FoundModel, LoadedModel
from relayllm.serving.models.router import Capacity, ModelRouter
from tests.support.waiting import eventually

CALL_BIT = 1 << 10


class ScriptedEngine:
    """Says its script, token by token; a command of the script is left out where the grammar bans it."""

    def __init__(self, tokenizer: Any, script: Sequence[str | int], *, seconds: float = 0.0,
                 fault: Callable[[], Exception | None] = lambda: None) -> None:
        self.name, self.ends = "scripted", frozenset({tokenizer.eos_token_id})
        self.seconds, self.fault = seconds, fault
        self.gate = threading.Event()
        """Clear it to hold every step."""
        self.gate.set()
        self._commands = command_tokens(tokenizer)
        self._script = self._compile(tokenizer, script)
        self._at: dict[int, int] = {}
        self._next = 0

    def open(self) -> int:
        self._next += 1
        self._at[self._next] = 0
        return self._next

    def close(self, row: int) -> None:
        del self._at[row]

    def length(self, row: int) -> int:
        return self._at[row]

    def reserve(self, rows: int, tokens: int) -> None:
        pass

    @property
    def rows(self) -> int:
        """Rows it holds a cache for."""
        return len(self._at)

    def step(self, inputs: Sequence[StepInput], *, entropy: bool = False) -> StepOutput:
        self.gate.wait()
        time.sleep(self.seconds)
        error = self.fault()
        if error is not None:
            raise error
        return StepOutput([self._token(item) for item in inputs], [-0.5] * len(inputs), [1.0] * len(inputs),
                          self.seconds, scores=[(-0.25,) * item.score for item in inputs])

    def _token(self, ask: StepInput) -> int:
        at = self._at[ask.row]
        if not ask.inside and not ask.allowed & CALL_BIT:
            while self._commands and self._script[at] == self._commands.call:
                at = self._script.index(self._commands.end, at) + 1
        self._at[ask.row] = min(at + 1, len(self._script) - 1)
        return self._script[at]

    def _compile(self, tokenizer: Any, script: Sequence[str | int]) -> list[int]:
        ids: list[int] = []
        for part in script:
            ids += plain_ids(tokenizer, part) if isinstance(part, str) else self._commands.write(part)
        return [*ids, tokenizer.eos_token_id]


@cache
def tokenizers() -> tuple[Any, Any]:
    """The student's, with commands, and the teacher's."""
    teacher = build_tokenizer()
    student = copy.deepcopy(teacher)
    student.add_special_tokens({"additional_special_tokens": [CALL, END_CALL]})
    return student, teacher


STUDENT_SCRIPT = ("There are 3 boxes with 4 pens. 3 x 4 = ", 2, ". The answer is ", 2, ".")
TEACHER_SCRIPT = ("12" * 200,)


def scripted_decoder(student: Sequence[str | int] = STUDENT_SCRIPT,
                     teacher: Sequence[str | int] | None = TEACHER_SCRIPT, *, seconds: float = 0.0,
                     fault: Callable[[], Exception | None] = lambda: None,
                     teacher_fault: Callable[[], Exception | None] = lambda: None, context: int = 512) -> RelayDecoder:
    """A `RelayDecoder` whose models say what they are told to."""
    ours, theirs = tokenizers()
    side = None if teacher is None else LocalTeacher(ScriptedEngine(theirs, teacher, fault=teacher_fault))
    return RelayDecoder(ScriptedEngine(ours, student, seconds=seconds, fault=fault), ours, side, theirs,
                        teacher_name="" if teacher is None else "scripted-teacher", context_length=context)


@dataclass
class Running:
    """A server of this process, for a test."""

    url: str
    app: FastAPI
    model_router: ModelRouter
    decoder: RelayDecoder
    client: httpx.Client
    loop: asyncio.AbstractEventLoop

    def chat(self, **body: Any) -> httpx.Response:
        """Ask one question."""
        return self.client.post("/v1/chat/completions", json={
            "messages": [{"role": "user", "content": "How many pens?"}], **body})

    def complete(self, **body: Any) -> httpx.Response:
        """Continue one text."""
        return self.client.post("/v1/completions", json={"prompt": "How many pens?", **body})

    def idle(self) -> bool:
        """Wait until nothing is in work; whether that came."""
        return eventually(lambda: self.model_router.champion.engine.pending == 0)

    def metric(self, line: str) -> float:
        """The sum of the samples whose line begins so."""
        return sum(float(row.rsplit(" ", 1)[1]) for row in self.client.get("/metrics").text.splitlines()
                   if row.startswith(line))


def in_memory(decoder: RelayDecoder, defaults: Options, version: str = "1", *, name: str = "relay-decoder",
              prices: Prices | None = None) -> LoadedModel:
    """A decoder as a loaded version."""
    return LoadedModel(FoundModel(name, version, Path()), decoder, defaults, prices=prices or Prices())


@contextmanager
def serving(decoder: RelayDecoder | None = None, *, slots: int = 8, queue: int = 16, keys: str = "",
            limits: HttpLimits | None = None, share: float = 0.0, examples: Sequence[Any] = (),
            watchers: Sequence[Any] = (), name: str = "relay-decoder",
            defaults: Options | None = None, chance: Callable[[], float] = random.random,
            prices: Prices | None = None, budgets: Budgets | None = None) -> Iterator[Running]:
    """The real application on a real socket, with this decoder."""
    decoder = decoder or scripted_decoder()
    budgets = budgets or Budgets()
    metrics = Metrics(lambda: chain(model_router.gauges(), budgets.key_gauges()))
    model_router = ModelRouter(metrics, Capacity(slots, queue), share=share, watchers=watchers, chance=chance)

    loops: list[asyncio.AbstractEventLoop] = []

    async def start() -> None:
        loops.append(asyncio.get_running_loop())
        loaded = in_memory(decoder, defaults or Options(max_new_tokens=100), name=name, prices=prices)
        model_router.add("champion", loaded, asyncio.get_running_loop())

    async def stop() -> None:
        model_router.retire("candidate")
        model_router.retire("champion")

    app = create_app(model_router, Keys.from_environment({"RELAY_API_KEYS": keys}), budgets, metrics,
                     limits or HttpLimits(), examples=examples, start=start, stop=stop)
    listener = take_port("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            assert eventually(lambda: server.started)
            yield Running(url, app, model_router, decoder, client, loops[0])
    finally:
        server.should_exit = True
        thread.join(10)
