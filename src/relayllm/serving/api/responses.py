"""From traces to OpenAI's answers, and the field `relay` that says who wrote what and what it cost."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from relayllm.relay.trace import Ledger, StopReason, Trace
from relayllm.serving.engine.requests import TokenDelta, Top

Json = dict[str, Any]
REASONS = {StopReason.TOKEN_BUDGET: "length"}
"""Everything else is `stop`."""
HALF = "\N{REPLACEMENT CHARACTER}"
"""What the bytes of half a character show as."""


@dataclass(frozen=True, slots=True)
class ResponseMeta:
    """What all chunks of one answer begin with."""

    kind: str
    """`chat.completion`, `text_completion`, ..."""
    id: str
    model: str
    created: int
    version: str
    alias: str

    @classmethod
    def new(cls, kind: str, model: str, version: str, alias: str) -> ResponseMeta:
        """With an id of its own."""
        prefix = "chatcmpl" if kind.startswith("chat") else "cmpl"
        return cls(kind, f"{prefix}-{uuid.uuid4().hex}", model, int(time.time()), version, alias)

    def json(self, **more: Any) -> Json:
        """The object, with more fields."""
        return {"id": self.id, "object": self.kind, "created": self.created, "model": self.model,
                "system_fingerprint": f"relayllm-{self.version}", **more}


def finish_reason(trace: Trace) -> str:
    """`stop` or `length`."""
    return REASONS.get(trace.stop_reason, "stop")


def usage(traces: Sequence[Trace], samples: int) -> Json:
    """Tokens read and written; the n completions of one prompt count its tokens once."""
    prompt = sum(len(trace.prompt_ids) for trace in traces[::samples])
    written = sum(len(trace.token_ids) for trace in traces)
    return {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}


def relay_field(traces: Sequence[Trace], degraded: Sequence[bool], meta: ResponseMeta) -> Json:
    """Call ratio, calls, ledger, spans and `degraded`, over all choices; `choice` says whose a call or a span is."""
    teacher = sum(trace.ledger.teacher_tokens for trace in traces)
    written = sum(len(trace.token_ids) for trace in traces)
    return {
        "call_ratio": teacher / written if written else 0.0,
        "calls": [{"choice": index, **asdict(call)} for index, trace in enumerate(traces) for call in trace.calls],
        "ledger": ledger_field([trace.ledger for trace in traces]),
        "segments": [span for index, trace in enumerate(traces) for span in segment_fields(trace, index)],
        "degraded": any(degraded),
        "stop_reasons": [trace.stop_reason.value for trace in traces],
        "seed": traces[0].seed if traces else None,
        "version": meta.version,
        "alias": meta.alias,
    }


def segment_fields(trace: Trace, choice: int) -> list[Json]:
    """Runs of one author: characters of the answer's text and tokens of the completion."""
    return [{"choice": choice, "author": run.author.value, "start": run.text_start, "end": run.text_stop,
             "tokens": run.tokens, "token_start": run.start} for run in trace.segments]


def ledger_field(ledgers: Sequence[Ledger]) -> Json:
    """The sum of several ledgers."""
    total = {name: sum(getattr(ledger, name) for ledger in ledgers) for name in Ledger.__dataclass_fields__}
    return {**total, "completion_tokens": sum(ledger.completion_tokens for ledger in ledgers)}


def token_texts(tokenizer: Any, token_ids: Sequence[int]) -> list[str]:
    """Each token as text; half characters show as U+FFFD."""
    return [str(tokenizer.decode([token], skip_special_tokens=False, clean_up_tokenization_spaces=False))
            for token in token_ids]


def chat_logprobs(tokenizer: Any, delta: TokenDelta) -> Json:
    """OpenAI's chat format. The teacher's tokens have no log-probability of the student's: null, and no likeliest."""
    rows = [{**_entry(tokenizer, token, logprob), "top_logprobs": [_entry(tokenizer, *likely) for likely in top],
             "author": author.value}
            for token, logprob, author, top in zip(delta.ids, delta.logprobs, delta.authors,
                                                   delta.tops or [()] * len(delta.ids), strict=True)]
    return {"content": rows, "refusal": None}


def _entry(tokenizer: Any, token: int, logprob: float | None) -> Json:
    [text] = token_texts(tokenizer, [token])
    return {"token": text, "logprob": logprob, "bytes": list(token_bytes(tokenizer, token, text))}


def token_bytes(tokenizer: Any, token: int, text: str) -> bytes:
    """A token's own bytes, also of half a character; of a tokenizer that is not byte-level those of its text."""
    plain = text.encode()
    if HALF not in text:
        return plain
    letters = _letters()
    name = str(tokenizer.convert_ids_to_tokens(token))
    own = bytes(letters[letter] for letter in name) if letters.keys() >= set(name) else plain
    return own if own.decode(errors="replace") == text else plain


@cache
def _letters() -> dict[str, int]:
    """GPT-2's letters for bytes, which all byte-level BPE has: printable ones stand for themselves."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}


def _likely(tokenizer: Any, delta: TokenDelta | PromptLogprobs) -> list[list[tuple[str, float]]]:
    """The likeliest tokens as texts, one list per token."""
    if not delta.tops:
        return [[] for _ in delta.ids]
    return [list(zip(token_texts(tokenizer, [token for token, _ in top]), [value for _, value in top], strict=True))
            for top in delta.tops]


@dataclass(frozen=True, slots=True)
class PromptLogprobs:
    """Log-probabilities of a prompt's own tokens: the first has none."""

    ids: tuple[int, ...]
    logprobs: tuple[float | None, ...]
    tops: tuple[Top, ...]
    """The likeliest tokens at each place, best first."""


NOTHING = TokenDelta((), (), (), ())


def text_logprobs(tokenizer: Any, delta: TokenDelta, prompt: PromptLogprobs | None = None, at: int = 0) -> Json:
    """The format of /v1/completions, of the echoed prompt and of completion tokens that begin at character `at`.

    As OpenAI does, the written token is among the likeliest, even when it is none of them.
    """
    parts = [part for part in (prompt, delta) if part is not None]
    texts = [text for part in parts for text in token_texts(tokenizer, part.ids)]
    logprobs = [logprob for part in parts for logprob in part.logprobs]
    likely = [words for part in parts for words in _likely(tokenizer, part)]
    top = [None if logprob is None else {**dict(reversed(words)), text: logprob}  # of the same text the likelier
           for text, logprob, words in zip(texts, logprobs, likely, strict=True)]
    return {"tokens": texts, "token_logprobs": logprobs, "top_logprobs": top, "text_offset": _offsets(texts, at),
            "authors": ["prompt"] * len(prompt.ids if prompt else ()) + [author.value for author in delta.authors]}


def _offsets(texts: Sequence[str], at: int) -> list[int]:
    offsets = []
    for text in texts:
        offsets.append(at)
        at += len(text)
    return offsets

