"""`relay serve`: load the model, take the port, answer until told to stop."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import socket
from collections.abc import Callable, Sequence
from functools import cache
from itertools import chain
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from relayllm.commands.model_options import add_model_arguments, model_options
from relayllm.errors import ConfigError, ServingError
from relayllm.serving.models.loading import CHAMPION, FoundModel, LoadedModel
from relayllm.settings import Settings, current_settings

if TYPE_CHECKING:
    from fastapi import FastAPI

    from relayllm.registry.client import Registry
    from relayllm.serving.auth import Keys
    from relayllm.serving.budgets.local import Budgets

DRAIN_SECONDS = 30
LEAST = {"slots": 1, "queue": 0, "max_body_bytes": 1, "reload_seconds": 0}
"""Options that are numbers, and the least that each may be."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `relay serve`."""
    add = parser.add_argument
    add("model", nargs="?",
        help=f"models:/NAME@ALIAS, a folder, or a bare student's .gguf file; default {CHAMPION}, or the file that "
             "--student names")
    add("--teacher", help="folder, hub id, http address, or the .yaml file of a pool of teachers, instead of the "
                          "package's own; 'none': the student alone")
    add("--student", action="append", default=[], metavar="URL|FILE",
        help="a vLLM server of the model's student, which runs the relay grammar; several are replicas. No model is "
             "loaded then: MODEL gives tokenizer and decoding. Or the student as a .gguf file, which llama.cpp runs "
             "here")
    add_model_arguments(parser)
    add("--host", default="127.0.0.1", help="default: this machine only")
    add("--port", type=int, default=8000)
    add("--slots", type=int, help="completions decoded side by side; default: the package's")
    add("--max-context", type=int, metavar="TOKENS",
        help="prompt and answer together; bounds the memory of the caches; default: what the models can read")
    add("--queue", type=int, default=256, help="completions that may wait; more get 429")
    add("--max-body-bytes", type=int, default=1 << 20)
    add("--unknown-fields", choices=("refuse", "ignore"), default="refuse",
        help="fields of a request that this server does not know, and the hints top_k, min_p and typical_p: refuse "
             "it, or ignore them and name them in the answer's header x-relay-ignored-fields; default: refuse")
    add("--cap-max-tokens", action="store_true",
        help="shorten an answer that would be longer than the models can read, instead of refusing the request")
    add("--cors", action="append", default=[], metavar="ORIGIN", help="let pages of this origin call; default: none")
    add("--reload-seconds", type=float, default=10.0, help="look at the registry so often; 0: never")
    add("--canary", type=float, default=0.0, metavar="SHARE", help="share of requests for the candidate, 0 to 1")
    add("--trace-share", type=float, default=os.environ.get("RELAY_TRACE_SHARE") or "0", metavar="SHARE",
        help="share of answers written to MLflow as traces, 0 to 1 (RELAY_TRACE_SHARE)")


def main(arguments: argparse.Namespace) -> int:
    """Take the port, load the model, and serve until told to stop."""
    check_numbers(arguments)
    arguments.model = arguments.model or bare_student(arguments.student) or CHAMPION
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    with take_port(arguments.host, arguments.port) as listener:
        return serve(arguments, listener, current_settings())


def check_numbers(arguments: argparse.Namespace) -> None:
    """Refuse numbers that are out of their range, and a share for a candidate that nothing would serve.

    Raises:
        ConfigError: a number is out of its range; a share for a candidate before the champion's students.
    """
    for name, least in LEAST.items():
        value = getattr(arguments, name)
        if value is not None and not least <= value < inf:
            raise ConfigError(f"--{name.replace('_', '-')} is {value}: give a number of {least} or more")
    for name in ("canary", "trace_share"):
        if not 0 <= getattr(arguments, name) <= 1:
            raise ConfigError(f"--{name.replace('_', '-')} is {getattr(arguments, name)}: give a share from 0 to 1")
    if arguments.canary and arguments.student:
        raise ConfigError(f"--canary is {arguments.canary}, and --student {', '.join(arguments.student)} has the "
                          "champion's weights alone: serve the candidate by a gateway of its own before students of "
                          "its own, and split the traffic before both (docs/guides/scale.md)")


def address_of(host: str, port: int) -> str:
    """Where a server is; an address of IPv6 stands in brackets."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def bare_student(students: Sequence[str]) -> str | None:
    """The GGUF file that is all there is, where no model is named."""
    return students[0] if len(students) == 1 and students[0].endswith(".gguf") else None


def take_port(host: str, port: int) -> socket.socket:
    """Bind before the model is loaded: a taken port is said at once.

    Raises:
        ServingError: the port is taken, or the host is none of this machine's.
    """
    # asyncio switches Nagle's algorithm off only where the protocol is named: without it each answer took 40 ms more.
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
        return listener
    except (OSError, OverflowError) as error:
        listener.close()
        raise ServingError(f"cannot listen on {host}:{port} ({getattr(error, 'strerror', None) or error}): stop what "
                           "uses the port, or give another --port or --host") from error


def serve(arguments: argparse.Namespace, listener: socket.socket, settings: Settings) -> int:
    """Load and run until a signal ends it."""
    import uvicorn

    from relayllm.serving.auth import Keys
    from relayllm.serving.budgets.shared import open_budgets
    from relayllm.serving.models.loading import find

    keys, budgets = Keys.from_environment(os.environ), open_budgets(os.environ)
    found = find(arguments.model, settings, _registry)
    print(f"loading {found.name} version {found.version} from {found.folder} ...", flush=True)
    loaded = load_bounded(arguments, found)
    app = assemble(arguments, settings, keys, budgets, loaded)
    address = address_of(arguments.host, listener.getsockname()[1])
    print(f"serving {found.name} version {found.version} on {address} (API description: {address}/docs)", flush=True)
    if not keys.required and arguments.host not in ("127.0.0.1", "localhost", "::1"):
        print("warning: reachable from other machines without API keys; set RELAY_API_KEYS", flush=True)
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=DRAIN_SECONDS)
    uvicorn.Server(config).run(sockets=[listener])
    return 0


def load_bounded(arguments: argparse.Namespace, found: FoundModel,
                 load: Callable[..., LoadedModel] | None = None) -> LoadedModel:
    """Load what was found, with the context that the command line allows.

    Raises:
        ConfigError: it is more than the models can read.
        ModelError: the folder is not whole, or is no relay decoder.
    """
    from relayllm.serving.models import loading
    from relayllm.serving.models.decoders import closed_on_error

    loaded = (load or loading.load)(found, arguments.teacher, students=tuple(arguments.student),
                                    **model_options(arguments))
    if arguments.max_context is not None:
        with closed_on_error(loaded.decoder):
            loaded.decoder.bound_context(arguments.max_context)
    return loaded


def assemble(arguments: argparse.Namespace, settings: Settings, keys: Keys, budgets: Budgets,
             loaded: LoadedModel) -> FastAPI:
    """The application around a loaded model."""
    from relayllm.serving.api.app import HttpLimits, create_app
    from relayllm.serving.engine.tracing import Tracer
    from relayllm.serving.metrics import Metrics
    from relayllm.serving.models.loading import find
    from relayllm.serving.models.reload import AliasWatcher
    from relayllm.serving.models.router import CHAMPION, Capacity, ModelRouter
    from relayllm.serving.page.examples import read_examples

    metrics = Metrics(lambda: chain(model_router.gauges(), budgets.gauges(), budgets.key_gauges()))
    tracer = Tracer(arguments.trace_share, settings) if arguments.trace_share else None
    size = Capacity(arguments.slots or loaded.slots or 32, arguments.queue)
    model_router = ModelRouter(metrics, size, share=arguments.canary, watchers=[tracer] if tracer else [])
    watcher = AliasWatcher(model_router, metrics, followed(arguments), seconds=arguments.reload_seconds,
                           find=lambda source: find(source, settings, _registry),
                           load=lambda found: load_bounded(arguments, found))

    async def start() -> None:
        model_router.add(CHAMPION, loaded, asyncio.get_running_loop())
        if followed(arguments):
            watcher.start()

    async def stop() -> None:
        model_router.draining = True
        watcher.stop()
        for deployment in model_router.models:
            model_router.retire(deployment.alias)
        if tracer is not None:
            tracer.close()
        budgets.close()

    limits = HttpLimits(arguments.max_body_bytes, tuple(arguments.cors), arguments.unknown_fields == "ignore",
                        arguments.cap_max_tokens)
    return create_app(model_router, keys, budgets, metrics, limits, start=start, stop=stop,
                      examples=read_examples(settings.root / Path("data")))


def followed(arguments: argparse.Namespace) -> dict[str, str]:
    """Which addresses of the registry to look at: alias here -> address there."""
    if not arguments.model.startswith("models:/") or not arguments.reload_seconds:
        return {}
    name = arguments.model.removeprefix("models:/").partition("@")[0].partition("/")[0]
    sources = {"champion": arguments.model} if "@" in arguments.model else {}
    return {**sources, "candidate": f"models:/{name}@candidate"} if arguments.canary else sources


@cache
def _registry() -> Registry:
    from relayllm.registry.client import Registry

    return Registry()
