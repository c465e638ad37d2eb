"""What one request asks of the decoder: which prompt to complete, how to sample, and what may be spent."""

from __future__ import annotations

from dataclasses import dataclass, field

from relayllm.errors import ConfigError
from relayllm.relay.policy import CallPolicy
from relayllm.relay.protocols import Message
from relayllm.relay.randomness import key_of
from relayllm.relay.trace import NO_PREFIX, Prefix


@dataclass(frozen=True, slots=True)
class Options:
    """Sampling and budgets of one completion.

    Raises:
        ConfigError: a value out of its range, named with what it may be.
    """

    max_new_tokens: int = 256
    """Completion tokens at most: student, teacher and command tokens together."""
    temperature: float = 0.0
    """The student's; 0 is greedy."""
    top_p: float = 1.0
    max_calls: int = 4
    max_call_tokens: int = 99
    """The largest n the grammar lets the student write."""
    teacher_temperature: float = 0.0
    teacher_enabled: bool = True
    call_bias: float = 0.0
    """Added to the logit of `<call>`: below 0 a run-time choice of fewer calls."""
    min_call_tokens: int = 1
    """A call is served with at least so many tokens, whatever n it wrote: a run-time choice of more help."""
    stop: tuple[str, ...] = ()
    logprobs: bool = True
    """Whether somebody reads the student's log-probabilities: a server is not asked for them in vain."""
    top_logprobs: int = 0
    """How many of the likeliest tokens the trace keeps at every place where the student wrote."""
    enable_thinking: bool | None = None
    """What chat templates that know a thinking mode are told; None leaves it to the template."""
    score_teacher: bool = False
    """Whether the trace holds the student's log-probabilities of the teacher's tokens, too."""
    call_stop_ids: frozenset[int] = frozenset()
    """Tokens of the teacher's vocabulary that end its call before n: where it writes one by one, in this process."""
    probe: tuple[float, ...] = ()
    """A linear readout of the student's hidden state, a weight per number and then the bias: policies are told its
    value in place of the entropy. For a student in this process."""
    policy: CallPolicy | None = field(default=None, compare=False)
    """Who decides when to call; None leaves it to the student."""

    def __post_init__(self) -> None:
        least = {"max_new_tokens": 1, "temperature": 0, "max_calls": 0, "max_call_tokens": 1, "min_call_tokens": 1,
                 "teacher_temperature": 0, "top_logprobs": 0}
        for name, low in least.items():
            if not getattr(self, name) >= low:
                raise ConfigError(f"{name} is {getattr(self, name)}: give {low} or more")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p is {self.top_p}: give more than 0 and at most 1")
        if self.call_bias != self.call_bias:
            raise ConfigError("call_bias is not a number: give a finite one, or -inf to ban calls")
        if any(not text for text in self.stop):
            raise ConfigError("stop holds an empty string, which every answer contains: leave it out")


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One completion to write."""

    prompt_ids: tuple[int, ...]
    options: Options
    seed: int = 0
    row: int = 0
    sample: int = 0
    teacher_prompt_ids: tuple[int, ...] | None = None
    """The prompt in the teacher's vocabulary, where that is another one."""
    messages: tuple[Message, ...] | None = None
    """The conversation that the prompt was made from, for a teacher's server with a chat template of its own."""
    prefix: Prefix = NO_PREFIX
    """The beginning of the answer, where this is a continuation."""
    caller: str = ""
    """Name of the API key that asks; empty where none was needed."""

    @property
    def key(self) -> int:
        """What every random number of the answer is drawn from."""
        return key_of(self.seed, self.row, self.sample)

    @property
    def teacher_view(self) -> tuple[int, ...]:
        """The prompt as the teacher reads it."""
        return self.prompt_ids if self.teacher_prompt_ids is None else self.teacher_prompt_ids
