"""The grammar of a command: `<call>`, one or more digits without a leading zero, `</call>`, as token ids.

Two bits per special token say what the student may write next. The grammar never lets a command begin that could not
be finished and served within the budget, so every command is well formed and every call is granted a token at least.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import ClassVar, Protocol

CALL, END_CALL = "<call>", "</call>"
DIGITS = "0123456789"
CALL_BIT, END_BIT = 1 << 10, 1 << 11
ALL_DIGITS = (1 << 10) - 1


@dataclass(frozen=True, slots=True)
class Mask:
    """What one model may write at one position."""

    allowed: int = ALL_DIGITS
    """Bits over the command columns; see `CommandTokens.columns`."""
    inside: bool = False
    """Inside a command: nothing but command columns, or `only`, may be written."""
    only: tuple[int, ...] = ()
    """Ids of which one must be written; empty: any."""
    never: tuple[int, ...] = ()
    """Ids that may not be written."""


class CommandWriter(Protocol):
    """Where one row stands in the grammar: told every token of the student, it says what may follow."""

    @property
    def inside(self) -> bool:
        """Whether a command has begun that is not whole."""
        ...

    @property
    def held(self) -> int:
        """How many of the last tokens belong to the running command, or may turn out to."""
        ...

    def mask(self, *, may_call: bool, remaining: int, max_call_tokens: int) -> Mask:
        """What the student may write next, with so many completion tokens left."""
        ...

    def push(self, token: int) -> int | None:
        """Take the student's next token; n when it completes a command."""
        ...

    def reset(self) -> None:
        """Forget what was begun: the pen has passed."""
        ...


@dataclass(frozen=True)
class CommandTokens:
    """The ids that commands are made of, in one student's vocabulary."""

    call: int
    end: int
    digits: tuple[int, ...]
    """Ten ids, 0 to 9: ordinary digit tokens."""
    known: ClassVar[bool] = True
    """Whether the student can read them."""

    @cached_property
    def columns(self) -> tuple[int, ...]:
        """The twelve ids in the order of the bits: digits, `<call>`, `</call>`."""
        return (*self.digits, self.call, self.end)

    @cached_property
    def value(self) -> dict[int, int]:
        """Digit id -> its value."""
        return {token: value for value, token in enumerate(self.digits)}

    def write(self, n: int) -> list[int]:
        """The ids of `<call>n</call>`."""
        return [self.call, *(self.digits[int(digit)] for digit in str(n)), self.end]

    def read(self, token_ids: Sequence[int]) -> int | None:
        """The n of one command; None while it is not whole."""
        if not token_ids or token_ids[-1] != self.end:
            return None
        return int("".join(str(self.value[token]) for token in token_ids[1:-1]))

    def text(self, token: int) -> str:
        """What a token of a command reads as."""
        if token == self.call:
            return CALL
        return END_CALL if token == self.end else str(self.value[token])

    def writer(self) -> CommandWriter:
        """The grammar at the beginning of a completion."""
        return TokenWriter(self)


class SpareCommandTokens(CommandTokens):
    """Ids past the vocabulary of a student that was never taught a command: it writes none and is shown none."""

    known = False


class TokenWriter:
    """The grammar over command tokens: n as written so far is all its state."""

    def __init__(self, tokens: CommandTokens) -> None:
        self._tokens = tokens
        self._number: int | None = None
        self.held = 0

    @property
    def inside(self) -> bool:
        """Whether a command has begun that is not whole."""
        return self._number is not None

    def mask(self, *, may_call: bool, remaining: int, max_call_tokens: int) -> Mask:
        """What the student may write next, with so many completion tokens left."""
        if self._number is None:
            return CALL_ALLOWED if may_call else NO_CALL
        return Mask(allowed_in_command(self._number, remaining, max_call_tokens), inside=True)

    def push(self, token: int) -> int | None:
        """Take the student's next token; n when it completes a command."""
        if self._number is None:
            if token == self._tokens.call:
                self._number, self.held = 0, 1
            return None
        self.held += 1
        if token == self._tokens.end:
            n, self._number = self._number, None
            return n
        self._number = 10 * self._number + self._tokens.value[token]
        return None

    def reset(self) -> None:
        """Forget what was begun: the pen has passed."""
        self._number, self.held = None, 0


CALL_ALLOWED, NO_CALL = Mask(ALL_DIGITS | CALL_BIT), Mask()


@lru_cache(maxsize=65536)
def allowed_in_command(number: int, remaining: int, max_call_tokens: int) -> int:
    """Bits of what may follow inside a command.

    `number` is n as written so far (0: no digit yet); `remaining` counts completion tokens that may still be written.
    A digit needs room for itself, `</call>` and one teacher token.
    """
    bits = END_BIT if number else 0
    if remaining >= 3 or not number:
        for digit in range(0 if number else 1, 10):
            if 10 * number + digit <= max_call_tokens:
                bits |= 1 << digit
    return bits


def may_call(remaining: int, calls_left: int) -> bool:
    """Whether a command may begin: it takes three tokens at least, and one for the teacher."""
    return calls_left > 0 and remaining >= 4


def parse(token_ids: Iterable[int], tokens: CommandTokens) -> list[int]:
    """The n of every command in a sequence.

    Raises:
        ValueError: a command token stands where the grammar allows none; says where.
    """
    found: list[int] = []
    number: int | None = None
    for position, token in enumerate(token_ids):
        if number is None:
            if token == tokens.end:
                raise ValueError(f"`</call>` without `<call>` at token {position}")
            number = 0 if token == tokens.call else None
        elif token in tokens.value and (number or tokens.value[token]):
            number = 10 * number + tokens.value[token]
        elif token == tokens.end and number:
            found.append(number)
            number = None
        else:
            raise ValueError(f"token {position} breaks a command: only digits stand between `<call>` and `</call>`")
    if number is not None:
        raise ValueError("the last command has no `</call>`")
    return found
