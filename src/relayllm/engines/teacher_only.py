"""A teacher elsewhere that answers whole questions: the data filter, and the row `teacher` of the evaluation.

In a relay a teacher that fails costs a row its help. Here it is all there is, so its failure is an error. It is one
teacher, whose replicas a pool's file may name; answers of several would be nobody's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, cast

from relayllm.engines.collecting import in_order
from relayllm.engines.commands import command_tokens, spare_command_tokens
from relayllm.engines.openai.governance.teacher import teacher_at
from relayllm.engines.openai.options import RemoteOptions
from relayllm.engines.openai.pool import TeacherPool
from relayllm.engines.openai.pool_config import is_pool, read_pool, replicas
from relayllm.engines.prompts import Prompt, encode_prompt, messages_of
from relayllm.errors import DataError, TeacherError
from relayllm.relay.detokenizer import trace_of
from relayllm.relay.options import GenerationRequest, Options
from relayllm.relay.protocols import CallRequest, CallServer, ServedCall, Tokenizer
from relayllm.relay.randomness import key_of
from relayllm.relay.row import Row
from relayllm.relay.teacher import TEACHER_SALT
from relayllm.relay.trace import NO_PREFIX, Prefix, StopReason, Trace

NEWS_SECONDS = 0.5


class RemoteGenerator:
    """Writes completions with a server's model alone; `generate` is that of the relay decoder."""

    def __init__(self, source: str | Sequence[str], tokenizer: Tokenizer, *,
                 options: RemoteOptions | None = None) -> None:
        """`source` is an address, those of several replicas, or the file of a pool of one teacher."""
        self.tokenizer = tokenizer
        options = options or RemoteOptions.from_environment()
        self._remote: CallServer
        urls = (source,) if isinstance(source, str) else tuple(source)
        if len(urls) > 1 or is_pool(urls[0]):
            pool = replicas(urls) if len(urls) > 1 else read_pool(urls[0])
            self._remote = TeacherPool(pool, tokenizer, options=options)
            self._at_once = options.connections * sum(len(one.urls) for one in pool.teachers)
        else:
            self._remote, self._at_once = teacher_at(urls[0], tokenizer, options=options), options.connections
        self._commands = command_tokens(tokenizer) or spare_command_tokens(tokenizer)

    def generate(self, prompts: Sequence[Prompt], *, n: int = 1, seed: int = 0, slots: int = 32,
                 progress: Callable[[int, int], None] | None = None, **options: Any) -> list[Trace]:
        """Write n completions of every prompt, `slots` at a time; what concerns calls is ignored.

        Returns:
            Traces, the n of the first prompt first.

        Raises:
            TeacherError: an answer failed twice, or the server failed so often in a row that it is not asked again.
        """
        chosen = Options(**options)
        requests = [self.request(prompt, chosen, seed=seed, row=row, sample=sample)
                    for row, prompt in enumerate(prompts) for sample in range(n)]
        return in_order(self.complete(requests, slots=slots), len(requests), progress)

    def request(self, prompt: Prompt, options: Options, *, seed: int = 0, row: int = 0, sample: int = 0,
                prefix: Prefix = NO_PREFIX) -> GenerationRequest:
        """One completion to ask for.

        Raises:
            DataError: the answer is to begin with a prefix.
        """
        if prefix.token_ids:
            raise DataError(f"an answer that begins with {len(prefix.token_ids)} tokens cannot be asked of "
                            "the teacher's server alone: use the relay decoder")
        ids = encode_prompt(self.tokenizer, prompt, enable_thinking=options.enable_thinking)
        return GenerationRequest(tuple(ids), options, seed, row, sample, messages=messages_of(prompt))

    def complete(self, requests: Sequence[GenerationRequest], *, slots: int = 32) -> Iterator[tuple[int, Trace]]:
        """Traces as they are finished, each with the place of its request; raises as `generate` does."""
        places = {Row(request, self._commands, with_teacher=False): place for place, request in enumerate(requests)}
        waiting, running, failed = deque(places), dict[Row, ServedCall](), set[Row]()
        try:
            while waiting or running:
                while waiting and len(running) < min(slots, self._at_once):
                    row = waiting.popleft()
                    running[row] = self._remote.submit(_request(row))
                self._remote.wait(NEWS_SECONDS)
                for row in [row for row, stream in running.items() if stream.done]:
                    if fault := self._read(row, running.pop(row)):
                        if row in failed or not self._remote.up:
                            raise _given_up(fault, places) from fault
                        failed.add(row)
                        waiting.append(row)
                    else:
                        yield places[row], trace_of(self.tokenizer, row)
        finally:
            for stream in running.values():
                stream.cancel()

    def close(self) -> None:
        """Close the teacher's HTTP connections; safe to call twice."""
        self._remote.close()

    def _read(self, row: Row, stream: ServedCall) -> TeacherError | None:
        """Write a whole answer into its row, or say why it is none."""
        tokens = stream.take()
        if stream.error is not None:
            return cast(TeacherError, stream.error)
        if not tokens and not stream.finished:
            return TeacherError("the teacher answered nothing, and did not say that it was finished")
        row.take_pending()
        for token in [*tokens, *([self.tokenizer.eos_token_id] if stream.finished else [])][:row.remaining]:
            row.student_wrote(token, None, token == self.tokenizer.eos_token_id)
        row.stop = row.stop or StopReason.TOKEN_BUDGET  # the server has a limit of its own
        return None


def _request(row: Row) -> CallRequest:
    options, prompt_ids = row.options, row.request.prompt_ids
    return CallRequest(prompt_ids, options.max_new_tokens, options.temperature, options.top_p,
                       seed=key_of(row.key, TEACHER_SALT) >> 33, answer_start=len(prompt_ids),
                       messages=row.request.messages, enable_thinking=options.enable_thinking, session=row.session)


def _given_up(fault: TeacherError, rows: Collection[Row]) -> TeacherError:
    done = sum(row.stop is not None for row in rows)
    return TeacherError(f"{fault}; {done} of {len(rows)} answers were there: see to the teacher's server, then run the "
                        "stage again")
