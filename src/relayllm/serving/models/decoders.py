"""Make a decoder of a package's student and teacher: with its own weights, or with who stands in for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relayllm.engines.checkpoints.gguf import names_gguf
from relayllm.engines.openai.beginnings import TOKENS, begins_alike, mostly
from relayllm.errors import ConfigError, ModelError, StudentError
from relayllm.packaging.folder import Package

if TYPE_CHECKING:
    from relayllm.engines.decoder import RelayDecoder

PROBES = 4
"""Packed questions that a student's servers, or its file, are asked."""
LoadModels = Callable[..., "RelayDecoder"]


def maker(students: Sequence[str], package: Package | None = None) -> LoadModels:
    """What makes a decoder of (student's folder, teacher or None), and of options for models of this process.

    `students` stand in for the folder's weights, and must have the package's where one is given.

    Raises:
        ConfigError: a file among servers, or several.
    """
    files = [student for student in students if names_gguf(student)]
    if files and len(students) > 1:
        raise ConfigError(f"--student names {', '.join(students)}: give one GGUF file, or the addresses of servers")
    if files:
        return partial(_from_file, Path(files[0]), package)
    return partial(_gateway, students, package) if students else _decoder


@contextmanager
def closed_on_error(decoder: RelayDecoder) -> Iterator[RelayDecoder]:
    """Close it where what follows fails: a load that is tried again and again must leave no threads behind."""
    try:
        yield decoder
    except BaseException:
        decoder.close()
        raise


def check_weights(decoder: RelayDecoder, package: Package) -> None:
    """Ask a student the questions that the package was asked before it was packed.

    Rounding differs between engines and types, so most of the beginnings must be the same, not all.

    Raises:
        StudentError: it has other weights.
    """
    cases = package.parity[:PROBES]
    traces = decoder.generate([case.prompt for case in cases], max_new_tokens=TOKENS, max_calls=0) if cases else []
    same = [begins_alike(trace.token_ids, case.token_ids, decoder.commands.call)
            for trace, case in zip(traces, cases, strict=True)]
    if not mostly(same):
        raise StudentError(f"--student answers {sum(same)} of {len(same)} packed questions as the package in "
                           f"{package.folder} does: it has other weights; start its servers with {package.student}, or "
                           "`relay export` the file again")


def _decoder(student: Path, teacher: str | None, **options: Any) -> RelayDecoder:
    from relayllm import RelayDecoder

    with closed_on_error(RelayDecoder.from_pretrained(student, teacher, **options)) as decoder:
        if teacher is not None and not decoder.knows_commands:
            raise ModelError(f"{student} has no <call> and </call> among its tokens, so it would never call {teacher}: "
                             "serve a trained student (`relay export` writes one as GGUF), or this alone, "
                             "--teacher none")
    return decoder


def _from_file(file: Path, package: Package | None, folder: Path, teacher: str | None, **options: Any) -> RelayDecoder:
    with closed_on_error(_decoder(file, teacher, **options)) as decoder:
        if package is not None:
            check_weights(decoder, package)
    return decoder


def _gateway(students: Sequence[str], package: Package | None, student: Path, teacher: str | None,
             **options: Any) -> RelayDecoder:
    from relayllm import RelayDecoder
    from relayllm.engines.roles import is_remote

    if teacher is not None and not is_remote(teacher):
        raise ConfigError(f"--student names servers, and the teacher is {teacher}: name the teacher's server with "
                          "--teacher URL, RELAY_TEACHER_URL or RELAY_TEACHERS; '--teacher none' serves the student "
                          "alone")
    if options.keys() & {"dtype", "text_commands"}:
        raise ConfigError("--student names servers, and --dtype or --text-commands is for models of this process: "
                          "leave it out, and start the servers with the type that you want")
    known = [(case.prompt, case.token_ids) for case in package.parity[:PROBES]] if package else []
    with closed_on_error(RelayDecoder.from_servers(students, student, teacher, known=known)) as decoder:
        _check_context(decoder, package)
    return decoder


def _check_context(decoder: RelayDecoder, package: Package | None) -> None:
    """See that an answer as long as the package's own fits behind a prompt."""
    longest = 0 if package is None else int(package.decoding.get("max_new_tokens") or 0)
    if 0 < decoder.context_length <= longest:
        raise ConfigError(f"the servers of student and teacher read {decoder.context_length} tokens, prompt and answer "
                          f"together, and the package's answers have up to {longest}: start the one with the shorter "
                          "context with a larger --max-model-len")
