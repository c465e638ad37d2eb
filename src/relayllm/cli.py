"""The `relay` command: one subcommand per stage, and those that act on the registry, the server and the profiles.

A stage's options are read off the signature of its `run`, so they are written once. Nothing heavy is imported before
a command is chosen.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import os
import select
import sys
import threading
import time
import typing
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from relayllm.errors import RelayError
from relayllm.files import disk_full_message, is_disk_full, refused_path
from relayllm.processes import PARENT, started
from relayllm.settings import check_params_are_dvcs, current_settings, quiet

STAGES = Path(__file__).parent / "stages"

COMMANDS = {
    "profile": ("relayllm.commands.profile", "Write a shipped profile to params.yaml."),
    "plan": ("relayllm.commands.plan", "Estimate memory and time of a profile on given hardware."),
    "study": ("relayllm.commands.study", "Re-run the paper's comparisons and ablations."),
    "serve": ("relayllm.commands.serve", "Serve the relay decoder: OpenAI-compatible API and page."),
    "generate": ("relayllm.commands.generate", "Answer one question and show who wrote what."),
    "compare": ("relayllm.commands.registry:compare", "Compare two model versions."),
    "promote": ("relayllm.commands.registry:promote", "Move the champion alias to a version that passes the gates."),
    "rollback": ("relayllm.commands.registry:rollback", "Give the champion alias back to the version before."),
    "export": ("relayllm.commands.export", "Write the student as a GGUF file, for llama.cpp."),
    "fetch": ("relayllm.commands.registry:fetch", "Copy the student's weights of a version, for its servers."),
    "sync": ("relayllm.commands.sync", "Send to MLflow what stages measured while its server was away."),
    "check": ("relayllm.commands.registry:check", "Serve a version with MLflow, ask it one question, stop it."),
}
"""Name -> (module, or module:prefix, with `add_arguments(parser)` and `main(arguments)`; what it does)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; a known error prints its message and gives exit code 1."""
    words = list(sys.argv[1:] if argv is None else argv)
    words = [word for word in words if not word.startswith("--local_rank")]  # the deepspeed launcher adds it
    try:
        quiet()
        if os.environ.get("DVC_STAGE") or os.environ.get(PARENT):
            _end_with_ancestors()
        return _dispatch(words)
    except Exception as error:
        if is_disk_full(error):
            print(f"relay: DiskFull: {disk_full_message(error)}", file=sys.stderr)
        elif _is_left_by_reader(error):
            return 141  # what a shell gives for SIGPIPE
        elif isinstance(error, RelayError):
            print(f"relay: {type(error).__name__}: {error}", file=sys.stderr)
        elif (refused := refused_path(error)) is not None:
            print(f"relay: {type(error).__name__}: {refused}", file=sys.stderr)
        else:
            raise
        return 1
    except KeyboardInterrupt:
        print("relay: interrupted", file=sys.stderr)
        return 130


def _is_left_by_reader(error: Exception) -> bool:
    """Whether a command writes to somebody who reads no more, as `head` does: what is left goes nowhere."""
    if not isinstance(error, BrokenPipeError):
        return False
    stdout = select.poll()
    stdout.register(1, select.POLLERR)
    if left := bool(stdout.poll(0)):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the interpreter flushes once more when it ends
    return left


def _dispatch(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="relay", description="A small model that calls a large one for a few tokens.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    chosen = next((word for word in words if not word.startswith("-")), None)
    for name in stage_names():
        _add(commands, name, _first_line(STAGES / f"{name}.py"), chosen, partial(_stage_arguments, name=name))
    for name, (target, help_) in COMMANDS.items():
        _add(commands, name, help_, chosen, partial(_command_arguments, target=target))
    arguments = parser.parse_args(words)
    return int(arguments.act(arguments) or 0)


def stage_names() -> list[str]:
    """The stages there are: one module each, names as in dvc.yaml with dashes for underscores on the command line."""
    return sorted(path.stem for path in STAGES.glob("*.py") if not path.stem.startswith("_"))


def _add(commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, help_: str, chosen: str | None,
         fill: Callable[[argparse.ArgumentParser], None]) -> None:
    shown = name.replace("_", "-")
    aliases = [name] if shown != name else []
    sub = commands.add_parser(shown, help=help_, description=help_, aliases=aliases)
    if chosen in (shown, name):
        fill(sub)


def _first_line(path: Path) -> str:
    """First docstring line of a stage's `run`, without importing it."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name == "run":
            return (ast.get_docstring(node) or "").split("\n")[0]
    return ""


def _stage_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    module = importlib.import_module(f"relayllm.stages.{name}")
    types = typing.get_type_hints(module.run)
    parser.add_argument("--params", type=Path, default=current_settings().params, help="default: params.yaml")
    options = [option for option in inspect.signature(module.run).parameters.values()
               if option.kind is inspect.Parameter.KEYWORD_ONLY]
    for option in options:
        needed = option.default is inspect.Parameter.empty
        parser.add_argument("--" + option.name.replace("_", "-"), dest=f"option_{option.name}", required=needed,
                            metavar=option.name.upper(), default=None if needed else option.default,
                            type=_reader(types[option.name]))
    parser.set_defaults(act=lambda arguments: _run_stage(name, module.run, arguments))


def _reader(hint: object) -> Callable[[str], object]:
    """What turns a word of the command line into the type a stage asks for; `T | None` reads as T."""
    choices = [part for part in typing.get_args(hint) if part is not type(None)]
    kind = choices[0] if choices and len(choices) < len(typing.get_args(hint)) else hint
    return kind if kind in (Path, str, int, float) else str


def _run_stage(name: str, run: Callable[..., None], arguments: argparse.Namespace) -> int:
    from relayllm.commands.pool_note import note_pool, pool_digests
    from relayllm.config import load_params
    from relayllm.tracking.run import stage_run

    if os.environ.get("DVC_STAGE"):
        check_params_are_dvcs(current_settings())
    params = load_params(arguments.params)
    section = params.section(name)
    config = params if _reads_all(run) else section
    options = {key.removeprefix("option_"): value for key, value in vars(arguments).items()
               if key.startswith("option_")}
    module = sys.modules[run.__module__]
    launch = getattr(module, "launcher", None)
    if launch is not None and "RANK" not in os.environ:
        command = launch(section)
        if command:
            return _launch([*command, "--module", "relayllm.cli"], sys.argv[1:])
    if int(os.environ.get("RANK", "0")) > 0:
        run(config, **options)
        return 0
    variant, settings = str(options.get("run") or options.get("method") or ""), current_settings()
    pool = pool_digests(settings)
    with stage_run(name, section, variant=variant):
        run(config, **options)
    note_pool(settings, "@".join(filter(None, (name, variant))), pool)
    return 0


def _reads_all(run: Callable[..., None]) -> bool:
    """Whether a stage asks for the whole params and not for its section."""
    from relayllm.config import Params

    return typing.get_type_hints(run)[next(iter(inspect.signature(run).parameters))] is Params


def _launch(command: list[str], words: list[str]) -> int:
    """Become the launcher: the stage's processes are then its children and end with it."""
    sys.stdout.flush()
    os.execvpe(command[0], [*command, *words], dict(os.environ))


def _command_arguments(parser: argparse.ArgumentParser, target: str) -> None:
    path, _, prefix = target.partition(":")
    module = importlib.import_module(path)
    chosen = getattr(module, prefix) if prefix else module
    chosen.add_arguments(parser)
    parser.set_defaults(act=chosen.main)


def _end_with_ancestors() -> None:
    """End this stage when the `dvc` or the study that runs it is gone: a kill -9 up there must leave no work behind."""
    watched = _ancestors_up_to_dvc()
    if watched:
        threading.Thread(target=_watch, args=(watched,), daemon=True).start()


def _watch(watched: list[tuple[int, str]]) -> None:
    while all(started(pid) == begun for pid, begun in watched):
        time.sleep(0.5)
    os._exit(137)


def _ancestors_up_to_dvc() -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    pid = os.getppid()
    while pid > 1:
        found.append((pid, started(pid)))
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            pid_above = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            return []
        if str(pid) == os.environ.get(PARENT) or any(word == b"dvc" or word.endswith(b"/dvc") for word in words):
            return found
        pid = pid_above
    return []


if __name__ == "__main__":
    sys.exit(main())
