"""The grammar of a command in plain text, for published checkpoints that have no command tokens.

Such a student writes `<call>12</call>` with ordinary tokens, in whatever pieces its tokenizer has. The automaton here
reads the pieces: outside of a command it follows how much of `<call>` the student has just written; inside, only
pieces of digits and of `</call>` may follow. Only what the student itself writes moves it, so a `<call>` in the prompt
or in the teacher's words is text.

The space that stands in one token with the `<` belongs to the command. A `<call>` that would complete letters of
another token (`x<` and `call>`) cannot be cut out as a whole, so the grammar does not let it be written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from relayllm.errors import ModelError
from relayllm.relay.command import CALL, END_CALL, CommandTokens, Mask

FAR = 1 << 30
BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
SPACES = str.maketrans({"Ġ": " ", "▁": " ", "Ċ": "\n", "ĉ": "\t", "č": "\r"})
"""How byte-level and SentencePiece vocabularies write white space."""


def piece_of(token: str) -> str:
    """The text of a vocabulary entry, as far as ASCII goes; a byte by itself has none that is sure.

    A run of bytes is decoded as a whole: beside one that is no UTF-8 a `<` is lost in the text.
    """
    return "" if BYTE.fullmatch(token) else token.translate(SPACES)


def is_byte_of_call(token: str) -> bool:
    """Whether an entry is the byte of a letter of `<call>`: no tokenizer writes one, and it could spell a command."""
    byte = BYTE.fullmatch(token)
    return byte is not None and chr(int(byte[1], 16)) in CALL


@dataclass(frozen=True)
class TextCommands(CommandTokens):
    """Commands in the pieces of one vocabulary. `call` and `end` are ids of no token."""

    pieces: Mapping[int, str] = field(default_factory=dict, repr=False, compare=False)
    """Id -> text, special tokens left out."""
    bytes_of_call: frozenset[int] = frozenset()
    """Tokens of single bytes of `<call>`, which are never written."""
    spelling: tuple[tuple[int, ...], ...] = ()
    """`<call>` and `</call>` in the tokens that the tokenizer itself would take."""

    @classmethod
    def of_vocabulary(cls, vocabulary: Mapping[str, int], special: Iterable[int], digits: Sequence[int],
                      opening: Sequence[int], closing: Sequence[int]) -> TextCommands:
        """From a tokenizer's vocabulary (token -> id), and how it writes the ten digits and the two tags by itself.

        Raises:
            ModelError: no sequence of tokens spells a command.
        """
        hidden, size = frozenset(special), max(vocabulary.values()) + 1
        pieces = {index: piece_of(token) for token, index in vocabulary.items() if index not in hidden}
        found = cls(size + 1_000_000, size + 1_000_001, tuple(digits), pieces,
                    frozenset(index for token, index in vocabulary.items() if is_byte_of_call(token)),
                    (tuple(opening), tuple(closing)))
        if found.closing_tokens[0] >= FAR or not found.opening_ids or len(found.numbers) < 10:
            raise ModelError(f"no tokens of this vocabulary spell {CALL}, a number and {END_CALL} piece by piece: the "
                             "student needs command tokens (`relay warmup` adds them)")
        return found

    @cached_property
    def numbers(self) -> dict[int, str]:
        """Id -> digits, for every token that is digits alone."""
        return {token: text for token, text in self.pieces.items() if text.isascii() and text.isdigit()}

    @cached_property
    def openers(self) -> tuple[dict[int, int], ...]:
        """For so many characters of `<call>` written: token -> characters written after it, while it goes on whole.

        At the beginning white space may stand before the `<`.
        """
        return tuple({token: written + len(text) for token, text in self._trimmed(written).items()
                      if text and CALL.startswith(text, written)} for written in range(len(CALL)))

    @cached_property
    def completing(self) -> tuple[frozenset[int], ...]:
        """For so many characters written: the tokens after which `<call>` stands in the text, whole or in a longer
        piece."""
        return tuple(frozenset(token for token, text in self.pieces.items() if CALL in CALL[:written] + text)
                     | self.bytes_of_call for written in range(len(CALL)))

    @cached_property
    def opening_ids(self) -> frozenset[int]:
        """Tokens that may be the last of `<call>`."""
        return frozenset(token for written, step in enumerate(self.openers) for token, after in step.items()
                         if after == len(CALL))

    @cached_property
    def closers(self) -> tuple[dict[int, int], ...]:
        """For so many characters of `</call>` written: token -> characters written after it."""
        return tuple({token: written + len(text) for token, text in self.pieces.items()
                      if text and END_CALL.startswith(text, written)} for written in range(len(END_CALL)))

    @cached_property
    def closing_tokens(self) -> tuple[int, ...]:
        """For so many characters of `</call>` written: the fewest tokens that finish it."""
        fewest = [FAR] * len(END_CALL) + [0]
        for written in reversed(range(len(END_CALL))):
            fewest[written] = min((1 + fewest[after] for after in self.closers[written].values()), default=FAR)
        return tuple(fewest)

    def write(self, n: int) -> list[int]:
        """The ids of `<call>n</call>`."""
        return [*self.spelling[0], *(self.digits[int(digit)] for digit in str(n)), *self.spelling[1]]

    def read(self, token_ids: Sequence[int]) -> int | None:
        """The n of one command; None while it is not whole."""
        text = "".join(self.pieces[token] for token in token_ids).strip()
        return int(text[len(CALL):-len(END_CALL)]) if text.endswith(END_CALL) else None

    def text(self, token: int) -> str:
        """What a token of a command reads as."""
        return self.pieces[token].strip()

    def writer(self) -> TextWriter:
        """The automaton at the beginning of a completion."""
        return TextWriter(self)

    def _trimmed(self, written: int) -> dict[int, str]:
        return self.pieces if written else {token: text.lstrip(" \t\r\n") for token, text in self.pieces.items()
                                            if "<" in text}  # type: ignore[return-value]


class TextWriter:
    """The automaton of one row: characters of `<call>` written, then digits, then characters of `</call>`."""

    def __init__(self, commands: TextCommands) -> None:
        self._commands = commands
        self.reset()

    def reset(self) -> None:
        """Forget what was begun: the pen has passed."""
        self.held = 0
        self._written = 0
        """Characters of `<call>` that the text ends with; those of a command only while tokens are held."""
        self._number: str | None = None
        self._closing = 0

    @property
    def inside(self) -> bool:
        """Whether a command has begun that is not whole."""
        return self._number is not None

    def mask(self, *, may_call: bool, remaining: int, max_call_tokens: int) -> Mask:
        """What the student may write next, with so many completion tokens left."""
        if self._number is None:
            return self._outside(may_call and remaining >= 3 + self._commands.closing_tokens[0])
        return Mask(only=tuple(self._inside(remaining, max_call_tokens)))

    def push(self, token: int) -> int | None:
        """Take the student's next token; n when it completes a command."""
        if self._number is None:
            self._open(token)
            return None
        self.held += 1
        if not self._closing and token in self._commands.numbers:
            self._number += self._commands.numbers[token]
            return None
        self._closing = self._commands.closers[self._closing][token]
        if self._closing < len(END_CALL):
            return None
        n, self._number, self._written, self._closing = int(self._number), None, 0, 0
        return n

    def _outside(self, may_call: bool) -> Mask:
        """Whatever does not complete `<call>`; its last piece where a command may begin, and is one."""
        completing = self._commands.completing[self._written]
        if may_call:
            clean = self._commands.openers[self._written] if self.held or not self._written else {}
            fresh = self._commands.openers[0]
            completing = frozenset(token for token in completing
                                   if clean.get(token, fresh.get(token)) != len(CALL))
        return Mask(never=tuple(completing))

    def _inside(self, remaining: int, max_call_tokens: int) -> list[int]:
        """Digits while there is room for `</call>` and a token of the teacher behind them, and what closes."""
        commands, number = self._commands, self._number or ""
        closing = [token for token, after in commands.closers[self._closing].items()
                   if remaining >= 2 + commands.closing_tokens[after]] if number else []
        if self._closing:
            return closing
        room = not number or remaining >= 2 + commands.closing_tokens[0]
        return closing + [token for token, digits in commands.numbers.items()
                          if room and (number or digits[0] != "0") and int(number + digits) <= max_call_tokens]

    def _open(self, token: int) -> None:
        commands = self._commands
        going_on = commands.openers[self._written].get(token) if self.held or not self._written else None
        if going_on is not None:
            self.held, self._written = self.held + 1, going_on
        elif token in commands.openers[0]:
            self.held, self._written = 1, commands.openers[0][token]
        else:
            text = CALL[:self._written] + commands.pieces.get(token, "")
            self.held, self._written = 0, max(size for size in range(len(CALL)) if text.endswith(CALL[:size]))
        if self._written == len(CALL):
            self._number, self._written = "", 0
