"""OpenAI's answers, whole and in chunks, and the field `relay` in them: who wrote what, and what it cost."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from typing import Any

from relayllm.packaging.teacher_names import shown_teacher
from relayllm.relay.detokenizer import Detokenizer
from relayllm.relay.prices import PRICED, Prices
from relayllm.relay.trace import Author, Call, Ledger, StopReason, Trace
from relayllm.serving.api.jobs import Job
from relayllm.serving.api.logprobs import TextOffsets, chat_logprobs, text_logprobs
from relayllm.serving.api.protocol import AnyRequest, ChatRequest, CompletionRequest
from relayllm.serving.api.streaming import sse
from relayllm.serving.engine.requests import TokenDelta
from relayllm.serving.engine.scoring import PromptLogprobs
from relayllm.serving.errors import Json

REASONS = {StopReason.TOKEN_BUDGET: "length"}
"""Everything else is `stop`."""
NOTHING = TokenDelta((), (), (), ())


@dataclass(frozen=True, slots=True)
class ResponseMeta:
    """The fields that an answer begins with, each of its chunks, too."""

    kind: str
    """`chat.completion`, `text_completion`, ..."""
    id: str
    model: str
    created: int
    version: str

    @classmethod
    def of(cls, job: Job, kind: str) -> ResponseMeta:
        """The fields of a new answer, with an id of its own."""
        prefix = "chatcmpl" if kind.startswith("chat") else "cmpl"
        deployment = job.deployment
        return cls(kind, f"{prefix}-{uuid.uuid4().hex}", deployment.name, job.created, deployment.version)

    def json(self, **more: Any) -> Json:
        """The answer's object: these fields, and more."""
        return {"id": self.id, "object": self.kind, "created": self.created, "model": self.model,
                "system_fingerprint": f"relayllm-{self.version}", **more}


def whole(job: Job, body: AnyRequest, traces: Sequence[Trace], scores: Sequence[PromptLogprobs] = ()) -> Json:
    """A whole answer, from its completions and the scores of its prompts."""
    if isinstance(body, ChatRequest):
        meta = ResponseMeta.of(job, "chat.completion")
        choices = [_chat_choice(job, body, index, trace) for index, trace in enumerate(traces)]
    else:
        meta = ResponseMeta.of(job, "text_completion")
        choices = [_text_choice(job, body, index, traces[index] if traces else None,
                                scores[index // body.samples] if scores else None)
                   for index in range(len(job.prompts) * body.samples)]
    return meta.json(choices=choices, usage=usage(job, traces), relay=relay_field(job, traces, scores))


def _chat_choice(job: Job, body: ChatRequest, index: int, trace: Trace) -> Json:
    tokenizer = job.deployment.response_tokenizer.tokenizer
    logprobs = chat_logprobs(tokenizer, TokenDelta.of_trace(trace)) if body.wants_logprobs else None
    return {"index": index, "message": {"role": "assistant", "content": trace.text, "refusal": None},
            "logprobs": logprobs, "finish_reason": finish_reason(trace)}


def _text_choice(job: Job, body: CompletionRequest, index: int, trace: Trace | None,
                 score: PromptLogprobs | None) -> Json:
    tokenizer = job.deployment.response_tokenizer.tokenizer
    text = (job.prompts[index // body.samples].text if body.echo else "") + (trace.text if trace else "")
    delta = TokenDelta.of_trace(trace) if trace else NOTHING
    logprobs = text_logprobs(tokenizer, delta, TextOffsets(tokenizer), score,
                             length=len(text)) if body.wants_logprobs else None
    return {"index": index, "text": text, "logprobs": logprobs,
            "finish_reason": finish_reason(trace) if trace else "length"}


def finish_reason(trace: Trace) -> str:
    """`stop` or `length`."""
    return REASONS.get(trace.stop_reason, "stop")


def usage(job: Job, traces: Sequence[Trace]) -> Json:
    """Tokens read and written; the n completions of one prompt count its tokens once."""
    prompt = sum(len(prompt.ids) for prompt in job.prompts)
    written = sum(len(trace.token_ids) for trace in traces)
    return {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}


def relay_field(job: Job, traces: Sequence[Trace], scores: Sequence[PromptLogprobs] = ()) -> Json:
    """Call ratio, calls, ledger, segments and `degraded` over all choices; `choice` says whose a call or segment is."""
    spent: list[tuple[Ledger, Sequence[Call]]] = [(trace.ledger, trace.calls) for trace in traces]
    spent += [(score.ledger, ()) for score in scores]
    teacher = sum(trace.ledger.teacher_tokens for trace in traces)
    written = sum(len(trace.token_ids) for trace in traces)
    withheld = sorted({reason for request, trace in zip(job.requests, traces, strict=True)
                       for reason in request.degraded_by(trace)})
    return {
        "call_ratio": teacher / written if written else 0.0,
        "calls": [{"choice": index, **asdict(call), "teacher": shown_teacher(call.teacher)}
                  for index, trace in enumerate(traces) for call in trace.calls],
        "ledger": ledger_field(spent, job.deployment.prices),
        "segments": [segment for index, trace in enumerate(traces) for segment in segment_fields(trace, index)],
        "degraded": bool(withheld),
        "degraded_by": withheld,
        "stop_reasons": [trace.stop_reason.value for trace in traces],
        "seed": traces[0].seed if traces else None,
        "version": job.deployment.version,
        "alias": job.deployment.alias,
    }


def segment_fields(trace: Trace, choice: int) -> list[Json]:
    """Runs of one author: characters of the answer's text and tokens of the completion."""
    return [{"choice": choice, "author": run.author.value, "start": run.text_start, "end": run.text_stop,
             "tokens": run.tokens, "token_start": run.start} for run in trace.segments]


def ledger_field(spent: Sequence[tuple[Ledger, Sequence[Call]]], prices: Prices) -> Json:
    """The sum of several ledgers; with the cost, and of it what each price made, where prices are known."""
    ledgers = [ledger for ledger, _ in spent]
    total = {name: sum(getattr(ledger, name) for ledger in ledgers) for name in Ledger.__dataclass_fields__}
    counts = {**total, "completion_tokens": sum(ledger.completion_tokens for ledger in ledgers)}
    if not prices.known:
        return counts
    parts = {name: sum(prices.parts(*one)[name] for one in spent) for name in PRICED}
    return {**counts, "cost": sum(parts.values()), "currency": prices.currency,
            "cost_parts": {name: part for name, part in parts.items() if part}}


@dataclass
class ChoiceState:
    """What a stream has sent of one choice."""

    text: Detokenizer
    offsets: TextOffsets
    characters: int = 0
    command: list[int] = field(default_factory=list)
    """Tokens of a command that is not whole yet."""


class ChunkWriter:
    """Makes the chunks of one answer; knows per choice what was sent so far. Text is made here, not by the engine."""

    def __init__(self, job: Job, body: AnyRequest) -> None:
        self._job, self._body, self._tokens = job, body, job.deployment.response_tokenizer
        self._chat = isinstance(body, ChatRequest)
        self._meta = ResponseMeta.of(job, "chat.completion.chunk" if self._chat else "text_completion")
        self._more: Json = {"usage": None} if body.with_usage else {}
        self._choices: dict[int, ChoiceState] = {}

    def beginnings(self) -> Iterator[bytes]:
        """What stands before the first tokens: the role, or the echoed prompt, which may be all that is asked for."""
        choices = range(len(self._job.prompts) * self._body.samples)
        for choice in choices:
            prompt = self._job.prompts[choice // self._body.samples]
            echo = prompt.text if isinstance(self._body, CompletionRequest) and self._body.echo else ""
            if self._chat or echo:
                yield self._chunk(choice, echo, None, first=True)
        if not self._job.requests:
            for choice in choices:
                relay = relay_field(self._job, []) if choice == choices[-1] else None
                yield self._chunk(choice, "", "length", relay=relay)

    def tokens(self, choice: int, delta: TokenDelta) -> Iterator[bytes]:
        """A chunk for each run of one author, and one for each call that begins."""
        state, start = self._state(choice), 0
        for author, group in groupby(delta.authors):
            stop = start + len(list(group))
            run = TokenDelta(delta.ids[start:stop], delta.authors[start:stop], delta.logprobs[start:stop],
                             delta.tops[start:stop])
            start = stop
            if author is Author.COMMAND:
                yield from self._commands(choice, state, run)
                continue
            text = state.text.extend(run.ids)
            state.characters += len(text)
            yield self._chunk(choice, text, None, relay={"author": author.value, "tokens": len(run.ids)},
                              logprobs=self._logprobs(state, run))

    def last(self, choice: int, done: Mapping[int, Trace]) -> Iterator[bytes]:
        """The rest of a choice that is over, and why it is; the choice that ends last brings the relay's field."""
        trace = done[choice]
        rest = trace.text[self._state(choice).characters:]
        if rest:
            yield self._chunk(choice, rest, None)
        everything = len(done) == len(self._job.requests)
        relay = relay_field(self._job, [done[index] for index in sorted(done)]) if everything else None
        yield self._chunk(choice, "", finish_reason(trace), relay=relay)

    def usage(self, done: Mapping[int, Trace]) -> bytes:
        """The chunk that `stream_options.include_usage` asks for: it has no choices."""
        if not self._body.with_usage:
            return b""
        return sse(self._meta.json(choices=[], usage=usage(self._job, list(done.values()))))

    def _state(self, choice: int) -> ChoiceState:
        if choice not in self._choices:
            text = Detokenizer(self._tokens.tokenizer, self._tokens.commands, self._body.stops)
            self._choices[choice] = ChoiceState(text, TextOffsets(self._tokens.tokenizer))
        return self._choices[choice]

    def _commands(self, choice: int, state: ChoiceState, run: TokenDelta) -> Iterator[bytes]:
        """Commands come token by token: sent when they are whole, their log-probabilities at once."""
        if self._body.wants_logprobs:
            yield self._chunk(choice, "", None, logprobs=self._logprobs(state, run))
        commands = self._tokens.commands
        for token in run.ids:
            state.command.append(token)
            n = commands.read(state.command)
            if n is not None:
                yield self._chunk(choice, "", None, relay={"author": "command", "call": n,
                                                           "tokens": len(state.command)})
                state.command = []

    def _logprobs(self, state: ChoiceState, run: TokenDelta) -> Json | None:
        if not self._body.wants_logprobs:
            return None
        if self._chat:
            return chat_logprobs(self._tokens.tokenizer, run)
        return text_logprobs(self._tokens.tokenizer, run, state.offsets,
                             length=state.characters if state.text.stopped else None)

    def _chunk(self, choice: int, text: str, reason: str | None, *, first: bool = False,
               relay: Json | None = None, logprobs: Json | None = None) -> bytes:
        body: Json = {"index": choice, "logprobs": logprobs, "finish_reason": reason}
        if self._chat:
            body["delta"] = {"role": "assistant", "content": ""} if first else {"content": text} if text else {}
        else:
            body["text"] = text
        return sse(self._meta.json(choices=[body], **({"relay": relay} if relay else {}), **self._more))
