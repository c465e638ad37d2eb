"""Answers of `POST /v1/responses`: OpenAI's newer envelope around a chat answer, without a memory on the server."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import count
from typing import Any

from relayllm.relay.detokenizer import Detokenizer
from relayllm.relay.trace import Author, Trace
from relayllm.serving.api.jobs import Job
from relayllm.serving.api.response_request import ResponseRequest
from relayllm.serving.api.responses import finish_reason, relay_field, usage
from relayllm.serving.api.streaming import SILENCE, SILENCE_SECONDS, named_event
from relayllm.serving.engine.requests import RequestOutput
from relayllm.serving.errors import Json


class ResponseWriter:
    """Makes a response object and the events of its stream; all of them carry the same ids."""

    def __init__(self, job: Job, body: ResponseRequest) -> None:
        self._job, self._body = job, body
        self._id, self._item = f"resp_{uuid.uuid4().hex}", f"msg_{uuid.uuid4().hex}"
        self._numbers = count()
        reader = job.deployment.response_tokenizer
        self._text, self._characters = Detokenizer(reader.tokenizer, reader.commands), 0

    def whole(self, traces: Sequence[Trace]) -> Json:
        """The whole answer as a response object."""
        cut = finish_reason(traces[0]) == "length"
        used = usage(self._job, traces)
        return self._object("incomplete" if cut else "completed", [self._message(traces[0].text, cut)]) | {
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None, "usage": {
                "input_tokens": used["prompt_tokens"], "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": used["completion_tokens"], "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": used["total_tokens"]}, "relay": relay_field(self._job, traces)}

    async def events(self) -> AsyncIterator[bytes]:
        """The answer as OpenAI's events, each with its name and number.

        Raises:
            ApiError: the decoder failed.
        """
        begun = self._object("in_progress", [])
        yield self._event("created", response=begun) + self._event("in_progress", response=begun)
        yield (self._event("output_item.added", output_index=0, item=self._message(None, False)) +
               self._event("content_part.added", **self._place(), part=_part("")))
        async for outputs in self._job.outputs(SILENCE_SECONDS):
            yield b"".join(self._told(outputs)) if outputs else SILENCE

    def _told(self, outputs: Sequence[RequestOutput]) -> Iterator[bytes]:
        for output in outputs:
            if output.delta is not None:
                ids = [token for token, author in zip(output.delta.ids, output.delta.authors, strict=True)
                       if author is not Author.COMMAND]
                yield from self._delta(self._text.extend(ids) if ids else "")
            if output.trace is not None:
                yield from self._delta(output.trace.text[self._characters:])
                yield from self._end(output.trace)

    def _delta(self, text: str) -> Iterator[bytes]:
        if text:
            self._characters += len(text)
            yield self._event("output_text.delta", **self._place(), delta=text, logprobs=[])

    def _end(self, trace: Trace) -> Iterator[bytes]:
        cut = finish_reason(trace) == "length"
        yield self._event("output_text.done", **self._place(), text=trace.text, logprobs=[])
        yield self._event("content_part.done", **self._place(), part=_part(trace.text))
        yield self._event("output_item.done", output_index=0, item=self._message(trace.text, cut))
        yield self._event("incomplete" if cut else "completed", response=self.whole([trace]))

    def _object(self, status: str, output: list[Json]) -> Json:
        deployment, body = self._job.deployment, self._body
        return {"id": self._id, "object": "response", "created_at": self._job.created, "status": status,
                "model": deployment.name, "output": output, "instructions": body.instructions, "error": None,
                "incomplete_details": None, "max_output_tokens": body.max_output_tokens,
                "temperature": body.temperature, "top_p": body.top_p, "metadata": {}, "tools": [],
                "tool_choice": "none", "parallel_tool_calls": False, "store": False,
                "text": {"format": {"type": "text"}}, "usage": None}

    def _message(self, text: str | None, cut: bool) -> Json:
        status = "in_progress" if text is None else "incomplete" if cut else "completed"
        return {"id": self._item, "type": "message", "role": "assistant", "status": status,
                "content": [] if text is None else [_part(text)]}

    def _place(self) -> Json:
        return {"item_id": self._item, "output_index": 0, "content_index": 0}

    def _event(self, kind: str, **more: Any) -> bytes:
        name = f"response.{kind}"
        return named_event(name, {"type": name, "sequence_number": next(self._numbers), **more})


def _part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
