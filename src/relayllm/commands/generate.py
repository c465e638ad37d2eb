"""`relay generate "question"`: one answer in the terminal, token by token, in the colours of who wrote it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace

from relayllm.commands.model_options import add_model_arguments, model_options
from relayllm.errors import ConfigError
from relayllm.relay.events import Event
from relayllm.relay.options import Options
from relayllm.relay.trace import Author
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
    seen: list[Event] = []
    colour = wants_colour(arguments.colour)
    for piece in painted(remember(loaded.decoder.stream(question, seed=arguments.seed, **fields), seen), colour):
        print(piece, end="", flush=True)
    print("\n\n" + summary(seen))
    return 0


def options(arguments: argparse.Namespace, defaults: Options) -> Options:
    """The package's own decoding, changed by the command line."""
    given = {name: getattr(arguments, name) for name in ("max_new_tokens", "max_calls", "temperature")}
    return replace(defaults, call_bias=arguments.call_bias, min_call_tokens=arguments.min_call_tokens,
                   **{key: value for key, value in given.items() if value is not None})


def wants_colour(choice: str) -> bool:
    """Whether to paint: as asked, else on a terminal that does not say NO_COLOR."""
    return choice == "always" or (choice == "auto" and sys.stdout.isatty() and not os.environ.get("NO_COLOR"))


def remember(events: Iterable[Event], seen: list[Event]) -> Iterator[Event]:
    """Yield the events, and append each to `seen`."""
    for event in events:
        seen.append(event)
        yield event


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


def summary(events: list[Event]) -> str:
    """Tokens by author, calls and call ratio, in a line."""
    written = {author: sum(event.author is author for event in events) for author in Author}
    total = sum(written.values())
    calls = sum(event.text == "</call>" and event.author is Author.COMMAND for event in events)
    share = 100 * written[Author.TEACHER] / total if total else 0.0
    return (f"{total} tokens: {written[Author.STUDENT]} student, {written[Author.TEACHER]} teacher, "
            f"{written[Author.COMMAND]} commands; {calls} call{'' if calls == 1 else 's'}, call ratio {share:.1f} %")
