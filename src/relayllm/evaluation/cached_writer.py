"""Cached writer: a decoder that decodes only what is not in the answer cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from relayllm.evaluation.answer_cache import AnswerCache, code_digest, key_of
from relayllm.evaluation.trace_json import dump_trace, load_trace
from relayllm.relay.options import GenerationRequest, Options
from relayllm.relay.protocols import Tokenizer
from relayllm.relay.trace import NO_PREFIX, Prefix, Trace

Messages = Sequence[Mapping[str, str]]


class CompletionWriter(Protocol):
    """A generator of completions: a relay decoder, or a server's model."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The student's tokenizer."""
        ...

    def request(self, prompt: Messages, options: Options, *, seed: int = 0, row: int = 0, sample: int = 0,
                prefix: Prefix = NO_PREFIX) -> GenerationRequest:
        """One completion to write."""
        ...

    def complete(self, requests: Sequence[GenerationRequest], *, slots: int = 32) -> Iterator[tuple[int, Trace]]:
        """Traces as they are finished, each with the place of its request."""
        ...


@dataclass(frozen=True, slots=True)
class _Asked:
    prompt: Messages
    seed: int
    row: int
    sample: int
    prefix: Prefix

    def request(self, writer: CompletionWriter, options: Options) -> GenerationRequest:
        return writer.request(self.prompt, options, seed=self.seed, row=self.row, sample=self.sample,
                              prefix=self.prefix)


class CachedWriter:
    """Answers prompts; each answer is kept as soon as it is finished, and none is decoded twice.

    One whose teacher failed is not kept: the next run asks for its help again.
    """

    def __init__(self, load: Callable[[], CompletionWriter], made_by: Sequence[str], answers: AnswerCache) -> None:
        """`load` is called when something must be decoded; `made_by` are the digests of the models it loads."""
        self._load, self._made_by, self._answers = load, [*made_by, code_digest()], answers

    @cached_property
    def writer(self) -> CompletionWriter:
        """The decoder, loaded at its first use."""
        return self._load()

    @property
    def tokenizer(self) -> Tokenizer:
        """The student's tokenizer."""
        return self.writer.tokenizer

    def generate(self, prompts: Sequence[Messages], *, n: int = 1, seed: int = 0, slots: int = 32,
                 progress: Callable[[int, int], None] | None = None, prefixes: Sequence[Prefix] | None = None,
                 **options: Any) -> list[Trace]:
        """Write n completions of every prompt, as `RelayDecoder.generate` does; `prefixes` are how they begin.

        `progress` is told first how many were there.

        Returns:
            Traces, the n of the first prompt first.
        """
        chosen = Options(**options)
        begun = prefixes if prefixes is not None else [NO_PREFIX] * len(prompts)
        asked = [_Asked(prompt, seed, row, sample, prefix)
                 for row, (prompt, prefix) in enumerate(zip(prompts, begun, strict=True)) for sample in range(n)]
        keys = [key_of(made_by=self._made_by, options=chosen, asked=one) for one in asked]
        traces = {key: load_trace(data) for key, data in self._answers.get(keys).items()}
        missing = [place for place, key in enumerate(keys) if key not in traces]
        if progress is not None:
            progress(len(keys) - len(missing), len(keys))
        if missing:
            requests = [asked[place].request(self.writer, chosen) for place in missing]
            for place, trace in self._complete(requests, slots, [keys[place] for place in missing]):
                traces[keys[missing[place]]] = trace
                if progress is not None:
                    progress(len(traces), len(keys))
        return [traces[key] for key in keys]

    def _complete(self, requests: Sequence[GenerationRequest], slots: int,
                  keys: Sequence[str]) -> Iterator[tuple[int, Trace]]:
        """Decode, and keep each answer before anybody sees it."""
        try:
            for place, trace in self.writer.complete(requests, slots=slots):
                if not trace.degraded:
                    self._answers.put(keys[place], dump_trace(trace))
                yield place, trace
        finally:
            self._answers.commit()
