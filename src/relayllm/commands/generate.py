"""`relay generate "question"`: one answer in the terminal, token by token, in the colours of who wrote it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from decimal import Decimal

from relayllm.commands.model_options import add_model_arguments, model_options
from relayllm.errors import ConfigError
from relayllm.relay.events import Event
from relayllm.relay.options import Options
from relayllm.relay.prices import Prices
from relayllm.relay.trace import Author, Trace
from relayllm.serving.models.loading import CHAMPION, load_model

RESET = "\x1b[0m"
COLOURS = {Author.STUDENT: "", Author.TEACHER: "\x1b[1;33m", Author.COMMAND: "\x1b[2m"}
PLAIN = {Author.STUDENT: ("", ""), Author.TEACHER: ("[", "]"), Author.COMMAND: ("", "")}
"""Without colours the teacher's tokens stand in brackets."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `relay generate`."""
    add = parser.add_argument
    add("question", help="what to ask; - reads it from the input")
    add("--model", default=CHAMPION, help=f"models:/NAME@ALIAS, or a folder; default {CHAMPION}")
    add("--teacher", help="folder, hub id, http address, or the .yaml file of a pool of teachers, instead of the "
                          "package's own; 'none': the student alone")
    add_model_arguments(parser)
    add("--max-new-tokens", type=int)
    add("--max-calls", type=int)
    add("--temperature", type=float)
    add("--seed", type=int, default=0)
    add("--call-bias", type=float, default=0.0, help="added to the logit of <call>: below 0 asks less often")
    add("--min-call-tokens", type=int, default=1, help="serve every call with at least so many tokens (default: 1)")
    add("--colour", choices=("auto", "always", "never"), default="auto")


def main(arguments: argparse.Namespace) -> int:
    """Answer one question."""
    question = sys.stdin.read().strip() if arguments.question == "-" else arguments.question
    if not question.strip():
        raise ConfigError("the question is empty: relay generate \"How many ...?\"")
    loaded = load_model(arguments.model, arguments.teacher, **model_options(arguments))
    chosen = options(arguments, loaded.defaults)
    fields = {name: getattr(chosen, name) for name in type(chosen).__dataclass_fields__}
    traces: list[Trace] = []
    events = traced(loaded.decoder.stream(question, seed=arguments.seed, **fields), traces)
    for piece in painted(events, wants_colour(arguments.colour)):
        print(piece, end="", flush=True)
    print("\n\n" + summary(traces[0], loaded.prices))
    return 0


def options(arguments: argparse.Namespace, defaults: Options) -> Options:
    """The package's own decoding, changed by the command line."""
    given = {name: getattr(arguments, name) for name in ("max_new_tokens", "max_calls", "temperature")}
    return replace(defaults, call_bias=arguments.call_bias, min_call_tokens=arguments.min_call_tokens,
                   **{key: value for key, value in given.items() if value is not None})


def wants_colour(choice: str) -> bool:
    """Whether to paint: as asked, else on a terminal that does not say NO_COLOR."""
    return choice == "always" or (choice == "auto" and sys.stdout.isatty() and not os.environ.get("NO_COLOR"))


def traced(events: Generator[Event, None, Trace], traces: list[Trace]) -> Iterator[Event]:
    """Yield the events, and append the trace that they end with to `traces`."""
    traces.append((yield from events))


def painted(events: Iterable[Event], colour: bool) -> Iterator[str]:
    """The text of events, each run of one author in its colour or brackets."""
    author = Author.STUDENT
    for event in events:
        if event.author is not author:
            yield closing(author, colour) + opening(event.author, colour)
            author = event.author
        yield event.text
    yield closing(author, colour)


def opening(author: Author, colour: bool) -> str:
    """What a run of this author begins with."""
    return COLOURS[author] if colour else PLAIN[author][0]


def closing(author: Author, colour: bool) -> str:
    """What a run of this author ends with."""
    return (RESET if COLOURS[author] else "") if colour else PLAIN[author][1]


def summary(trace: Trace, prices: Prices) -> str:
    """Tokens by author, calls, call ratio and, where prices are known, the cost, in a line."""
    ledger, calls = trace.ledger, len(trace.calls)
    text = (f"{ledger.completion_tokens} tokens: {ledger.student_tokens} student, {ledger.teacher_tokens} teacher, "
            f"{ledger.command_tokens} commands; {calls} call{'' if calls == 1 else 's'}, call ratio "
            f"{100 * trace.call_ratio:.1f} %")
    if not prices.known:
        return text
    return f"{text}; {amount(prices.cost(ledger, trace.calls))} {prices.currency}"


def amount(cost: float) -> str:
    """A sum of money in three digits, written out: 0.0000127."""
    return f"{Decimal(f'{cost:.3g}'):f}"
