"""Handshake with a student's server: the right vocabulary, the relay grammar at work, prefixes that are cached."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from relayllm.engines.openai.beginnings import TOKENS, Beginning, WeightProbe, begins_alike, mostly
from relayllm.engines.openai.client import CompletionClient
from relayllm.engines.openai.handshake import PROBE, OnceHandshake
from relayllm.engines.openai.wire import PermanentError, StreamChunk
from relayllm.relay.command import CommandTokens
from relayllm.relay.protocols import Tokenizer, Usage

LOG = logging.getLogger("relayllm.engines.openai")
MODEL_VARIABLE = "RELAY_STUDENT_MODEL"
BIAS = 1.0e4
"""Forces `<call>` in any student: one whose command rows are still mean embeddings needs more than 20."""
PREFIX_TOKENS = 384
"""Three blocks of the largest usual size: a cache that works finds some of them."""
NEAR_CERTAIN = -0.01
"""The log-probability of a forced token, when the server tells those after mask and bias."""


@dataclass(frozen=True, slots=True)
class StudentInfo:
    """What is known of a student's server."""

    model: str
    cached_tokens: int | None
    """Found again of a repeated prompt; 0: every segment reads its whole answer anew. None: its context is too short
    to see."""
    context_length: int
    """Tokens that prompt and completion may take together; 0 when the server does not say."""
    processed_logprobs: bool
    """Log-probabilities are those after mask, bias and temperature, which training needs."""
    beginnings: tuple[Beginning, ...] = ()
    """How it answers the questions by which weights are told, in their order."""


class StudentHandshake(OnceHandshake[StudentInfo]):
    """Handshake with a student's server: the right vocabulary, the relay grammar at work, and the right weights.

    `questions` are those by which weights are told; none are asked of servers whose weights may change. `compare` is
    told what was found, and may refuse the server.
    """

    def __init__(self, client: CompletionClient, tokenizer: Tokenizer, commands: CommandTokens, expected: str | None,
                 questions: Sequence[WeightProbe] = (),
                 compare: Callable[[str, StudentInfo], None] = lambda url, info: None) -> None:
        super().__init__()
        self._client, self._tokenizer, self._commands, self._expected = client, tokenizer, commands, expected
        self._questions, self._compare = questions, compare

    async def _connect(self) -> StudentInfo:
        model = self._chosen(await self._client.models())
        ids = list(self._tokenizer.encode(PROBE, add_special_tokens=False))
        await self._check_vocabulary(model, ids)
        processed = await self._check_grammar(model, ids)
        context = await self._client.context_length(model)
        info = StudentInfo(model, await self._cached_tokens(model, ids, context), context, processed,
                           await self._beginnings(model, processed, context))
        self._check_answers(info.beginnings)
        self._warn_uncached(info)
        self._compare(self._client.url, info)
        return info

    def _chosen(self, served: list[str]) -> str:
        names = ", ".join(f"'{name}'" for name in served)
        if self._expected is None and len(served) == 1:
            return served[0]
        if self._expected is None or self._expected not in served:
            raise PermanentError(f"student at {self._client.url} serves {names}, expected "
                                 f"{self._expected or 'one model'}: start the right server or set {MODEL_VARIABLE}")
        return self._expected

    async def _check_vocabulary(self, model: str, ids: list[int]) -> None:
        theirs = await self._client.tokenize(model, PROBE)
        commands = await self._client.tokenize(model, "<call></call>")
        if theirs != ids or commands is None or set(commands) != {self._commands.call, self._commands.end}:
            raise PermanentError(f"student at {self._client.url} has another vocabulary than the tokenizer "
                                 f"{self._tokenizer.name_or_path} (or no <call> and </call>): serve the folder that "
                                 "the tokenizer comes from")

    async def _check_grammar(self, model: str, ids: list[int]) -> bool:
        """A command that a large bias begins is well formed only where the processor is loaded."""
        asked = {"calls_left": 1, "remaining": 8, "max_call_tokens": 9, "call_bias": BIAS}
        written = await self._complete(model, ids, max_tokens=3, stop_token_ids=[self._commands.end],
                                       vllm_xargs=asked, logprobs=0)
        tokens = [token for chunk in written for token in chunk.token_ids or ()]
        if len(tokens) != 3 or tokens[0] != self._commands.call or tokens[2] != self._commands.end:
            raise PermanentError(
                f"student at {self._client.url} does not run the relay grammar (asked for a command, it wrote the ids "
                f"{tokens}): install the package in infra/vllm beside vLLM, start the server without speculative "
                "decoding, and see that its log names RelayGrammar")
        first = next((logprob for chunk in written for logprob, _ in chunk.logprobs), 0.0)
        return first > NEAR_CERTAIN

    def _warn_uncached(self, info: StudentInfo) -> None:
        if info.cached_tokens is None:
            LOG.warning("student at %s has a context of %d tokens, too short to see by a repeated prompt of %d whether "
                        "it caches prefixes: make sure that it was started with --enable-prefix-caching",
                        self._client.url, info.context_length, PREFIX_TOKENS)
        elif info.cached_tokens == 0:
            LOG.warning("student at %s found 0 of the %d tokens of a repeated prompt in its cache, so every segment "
                        "reads its whole answer anew: start it with --enable-prefix-caching, and with "
                        "--enable-prompt-tokens-details, by which it tells", self._client.url, PREFIX_TOKENS)

    async def _cached_tokens(self, model: str, ids: list[int], context: int) -> int | None:
        if 0 < context <= PREFIX_TOKENS:
            return None
        prompt = (ids * (PREFIX_TOKENS // len(ids) + 1))[:PREFIX_TOKENS]
        usage: list[Usage] = []
        for _ in range(2):
            body = {"model": model, "prompt": prompt, "max_tokens": 1, "temperature": 0}
            try:
                usage += [part async for part in self._client.complete(body) if isinstance(part, Usage)]
            except PermanentError as refusal:
                if refusal.about_request:
                    return None  # it did not say that its context is shorter
                raise
        return usage[-1].cached_tokens if usage else 0

    async def _beginnings(self, model: str, processed: bool, context: int) -> tuple[Beginning, ...]:
        longest = max((len(one.prompt_ids) for one in self._questions), default=0) + TOKENS
        if 0 < context < longest:
            raise PermanentError(f"student at {self._client.url} reads {context} tokens, and a question by which its "
                                 f"weights are told takes {longest}: start it with a larger --max-model-len")
        return tuple(await asyncio.gather(*(self._beginning(model, one, processed) for one in self._questions)))

    async def _beginning(self, model: str, question: WeightProbe, processed: bool) -> Beginning:
        asked = {"calls_left": 0, "remaining": TOKENS, "max_call_tokens": 9, "call_bias": 0.0}
        written = await self._complete(model, list(question.prompt_ids), max_tokens=TOKENS, vllm_xargs=asked,
                                       logprobs=0)
        logprobs = tuple(logprob for chunk in written for logprob, _ in chunk.logprobs) if processed else ()
        return Beginning(tuple(token for chunk in written for token in chunk.token_ids or ()), logprobs)

    def _check_answers(self, found: Sequence[Beginning]) -> None:
        same = [begins_alike(one.token_ids, question.answer_ids, self._commands.call)
                for one, question in zip(found, self._questions, strict=True)]
        if not mostly(same):
            raise PermanentError(f"student at {self._client.url} answers {sum(same)} of {len(same)} packed questions "
                                 "as the package does: it has other weights; start it with "
                                 f"{self._tokenizer.name_or_path}")

    async def _complete(self, model: str, ids: list[int], **more: Any) -> list[StreamChunk]:
        body = {"model": model, "prompt": ids, "temperature": 0, "return_token_ids": True,
                "return_tokens_as_token_ids": True, **more}
        return [part async for part in self._client.complete(body) if isinstance(part, StreamChunk)]
