"""The relay's parts in plain Python for tests: tokenizers of bytes and a model that says its lines. No torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from relayllm.relay.batching import DynamicBatching
from relayllm.relay.command import CommandTokens
from relayllm.relay.engine import StepInput, StepOutput
from relayllm.relay.options import GenerationRequest, Options
from relayllm.relay.protocols import Usage
from relayllm.relay.remote_session import WrittenToken
from relayllm.relay.row import Row
from relayllm.relay.scheduler import Session
from relayllm.relay.teacher import LocalTeacher, Teacher
from relayllm.relay.vocabulary import SharedVocabulary, Vocabulary

NO_BATCHING = DynamicBatching(min_share=0.0, max_queue_delay=0)
"""No call waits."""
EOS, CALL, END = 256, 257, 258
COMMANDS = CommandTokens(CALL, END, tuple(b"0123456789"))


class ByteTokenizer:
    """One token per byte, and three special ones that no text becomes when `split_special_tokens` is set."""

    eos_token, eos_token_id = "<|im_end|>", EOS
    chat_template, name_or_path = None, "bytes"
    specials: ClassVar = {"<|im_end|>": EOS, "<call>": CALL, "</call>": END}
    added_tokens_decoder: ClassVar[dict[int, Any]] = {}
    first = 0
    """Id of the first byte."""

    def __len__(self) -> int:
        return 259

    def get_vocab(self):
        return {**{chr(256 + byte): byte for byte in range(256)}, **self.specials}

    def encode(self, text, add_special_tokens=False, split_special_tokens=False):
        for name, token in self.specials.items():
            if not split_special_tokens and name in text:
                head, tail = text.split(name, 1)
                return [*self.encode(head), token, *self.encode(tail)]
        return [self.first + byte for byte in text.encode()]

    def decode(self, ids, skip_special_tokens=False, clean_up_tokenization_spaces=False):
        names = {token: b"" if skip_special_tokens else name.encode() for name, token in self.specials.items()}
        return b"".join(names[token] if token in names else bytes([(token - self.first) % 256])
                        for token in ids).decode(errors="replace")


class OtherTokenizer(ByteTokenizer):
    """Another vocabulary: no id means the same."""

    first = 1000


class SpacedTokenizer(OtherTokenizer):
    """As SentencePiece does: a space goes before the text that is encoded, and one at the beginning is not decoded."""

    def encode(self, text, add_special_tokens=False, split_special_tokens=False):
        return super().encode("▁" + text.replace(" ", "▁"), add_special_tokens, split_special_tokens)

    def decode(self, ids, skip_special_tokens=False, clean_up_tokenization_spaces=False):
        return super().decode(ids, skip_special_tokens).replace("▁", " ").removeprefix(" ")


class PlainEngine:
    """A model that says its lines from the beginning for every row; what the grammar forbids it leaves out."""

    def __init__(self, lines: str, *, tokenizer: ByteTokenizer | None = None,
                 fault: Callable[[], Exception | None] = lambda: None) -> None:
        tokenizer = tokenizer or ByteTokenizer()
        self.name, self.ends, self.fault = "plain", frozenset({tokenizer.eos_token_id}), fault
        self._lines = [*tokenizer.encode(lines), EOS]
        self._next = 0
        self.said: dict[int, int] = {}
        """Row -> lines said, in tokens; rows that are open."""
        self.read: dict[int, list[int]] = {}
        """Row -> all that it was given to read, closed ones too."""

    def open(self) -> int:
        self._next += 1
        self.said[self._next], self.read[self._next] = 0, []
        return self._next

    def close(self, row: int) -> None:
        del self.said[row]

    def length(self, row: int) -> int:
        return len(self.read[row])

    def reserve(self, rows: int, tokens: int) -> None:
        pass

    def step(self, inputs: Sequence[StepInput], *, entropy: bool = False) -> StepOutput:
        error = self.fault()
        if error is not None:
            raise error
        for item in inputs:
            assert item.token_ids
            self.read[item.row] += item.token_ids
        return StepOutput([self._token(item) for item in inputs], [-0.5] * len(inputs), [2.0] * len(inputs), 0.25)

    def _token(self, item: StepInput) -> int:
        at = self.said[item.row]
        while at < len(self._lines) - 1 and not self._allowed(self._lines[at], item):
            at += 1
        self.said[item.row] = min(at + 1, len(self._lines) - 1)
        return self._lines[at]

    def _allowed(self, token: int, item: StepInput) -> bool:
        if token in COMMANDS.columns and (item.inside or token in (CALL, END)):
            return bool(item.allowed >> COMMANDS.columns.index(token) & 1)
        return not item.inside


def new_row(prompt: str = "Q", **options: Any) -> Row:
    """A row that may call."""
    return Row(ask(prompt, **options), COMMANDS, with_teacher=True)


def new_session(student: PlainEngine, teacher: PlainEngine | Teacher | None = None, *, slots: int = 4,
                vocabulary: Vocabulary | None = None) -> Session:
    """A session of plain engines."""
    side = LocalTeacher(teacher) if isinstance(teacher, PlainEngine) else teacher
    return Session(student, side, vocabulary or SharedVocabulary(), ByteTokenizer(), COMMANDS, slots)


def ask(prompt: str = "Q", *, row: int = 0, **options: Any) -> GenerationRequest:
    """A request with this prompt."""
    return GenerationRequest(tuple(prompt.encode()), Options(**{"max_new_tokens": 40, **options}), row=row)


def run(session: Session) -> dict[int, Any]:
    """Step until all is finished; handle -> trace, in the order of the handles."""
    done: dict[int, Any] = {}
    while session.busy:
        done |= {found.handle: found.trace for found in session.step()}
    return dict(sorted(done.items()))


class PlainSegment:
    """What a server sends of one segment: its words run by run, then its usage or the error it broke off with."""

    cancelled = False

    def __init__(self, *runs: str, error: Exception | None = None, usage: Usage | None = None) -> None:
        self._runs = [ByteTokenizer().encode(run) for run in runs]
        self.error, self.usage = error, usage

    @property
    def done(self) -> bool:
        return not self._runs

    def cancel(self) -> None:
        self.cancelled = True

    def take_written(self) -> list[WrittenToken]:
        return [WrittenToken(token, -0.5) for token in (self._runs.pop(0) if self._runs else ())]


class PlainStudent:
    """A student behind a server that has its segments ready, in the order in which they are asked for."""

    name, ends = "far", frozenset({EOS})

    def __init__(self, *segments: PlainSegment) -> None:
        self._segments = list(segments)
        self.asked: list[tuple[str, int]] = []
        """What each request gave to read, and how many calls it allowed."""
        self.seeds: list[int] = []
        self.rows: set[int] = set()
        """Rows that are open."""

    def begin(self, row: Row, calls_left: int, seed: int) -> PlainSegment:
        self.asked.append((ByteTokenizer().decode([*row.request.prompt_ids, *row.ids]), calls_left))
        self.seeds.append(seed)
        return self._segments.pop(0)

    def open(self) -> int:
        self.rows.add(len(self.rows))
        return len(self.rows) - 1

    def close(self, row: int) -> None:
        self.rows.discard(row)

    def wait(self, seconds: float) -> bool:
        return True

    def reserve(self, rows: int, tokens: int) -> None:
        pass

    def shut_down(self) -> None:
        pass
