"""Public data sets at pinned revisions, from the Hugging Face hub or, offline, from its cache on this machine."""

from __future__ import annotations

import os
import queue
import re
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from relayllm.errors import ConfigError, DataError
from relayllm.problems.catalogue import Benchmark, row
from relayllm.problems.sources.conversion import convert
from relayllm.problems.sources.copies import read_copy
from relayllm.problems.sources.source import ProblemSet, SourceQuery, sample

COMMIT = re.compile(r"[0-9a-f]{40}")
PATIENCE = 3.0
"""Seconds to wait for a host before taking it as out of reach."""

LoadRows = Callable[[Benchmark], Iterable[Mapping[str, Any]]]


class HuggingFace:
    """Sets of the catalogue that live on the hub."""

    def __init__(self, load: LoadRows | None = None) -> None:
        self._load = load or load_rows

    def read(self, query: SourceQuery) -> ProblemSet:
        """Read a set at its pinned revision.

        Raises:
            ConfigError: the set is not in the catalogue, or its revision is no commit.
            DataError: out of reach and not in the cache; or a row is not in the schema the reader knows.
        """
        if query.copy:
            return read_copy(catalogue_row(query.name), query)
        benchmark = pinned(query.name)
        problems = [convert(benchmark, index, cells, f"{benchmark.hub}, split {benchmark.split}, row {index}")
                    for index, cells in enumerate(self._load(benchmark))]
        return ProblemSet(query.name, sample(problems, query.limit, query.seed), benchmark.hub,
                          benchmark.revision, benchmark.licence)


def pinned(name: str) -> Benchmark:
    """The catalogue's row of a hub data set, its revision checked to be a commit."""
    benchmark = catalogue_row(name)
    if not COMMIT.fullmatch(benchmark.revision):
        raise ConfigError(f"{name}: revision {benchmark.revision!r} is no commit of {benchmark.hub}: open "
                          f"https://huggingface.co/datasets/{benchmark.hub}/commits/main and put the forty digits in "
                          "src/relayllm/problems/catalogue.py")
    return benchmark


def catalogue_row(name: str) -> Benchmark:
    """The catalogue's row of a hub data set, by name."""
    benchmark = row(name)
    if benchmark.source != "huggingface":
        raise ConfigError(f"params.yaml, ingest names {name!r}, which is no hub data set of the catalogue: see "
                          "src/relayllm/problems/catalogue.py")
    return benchmark


def load_rows(benchmark: Benchmark) -> Iterator[Mapping[str, Any]]:
    """Rows of a data set by the `datasets` library, in the source's own schema; `part` names the file of several."""
    address = next(iter(benchmark.urls.values())) if benchmark.urls else _endpoint()
    if not reachable(address):
        os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
    import datasets

    try:
        parts = _parts(datasets, benchmark)
    except Exception as error:  # the library's errors for "out of reach" and "not in the cache" have no common class
        raise DataError(_remedy(benchmark, address, error)) from error
    for part, rows in parts.items():
        for cells in rows:
            yield {**cells, "part": part}


def _parts(datasets: Any, benchmark: Benchmark) -> dict[str, Any]:
    if benchmark.urls:
        return dict(datasets.load_dataset("json", data_files=dict(benchmark.urls), field="examples"))
    loaded = datasets.load_dataset(benchmark.hub, benchmark.config, split=benchmark.split, revision=benchmark.revision)
    return {benchmark.split: loaded}


def reachable(address: str, patience: float = PATIENCE) -> bool:
    """Whether a host (or the proxy on the way to it) takes a connection, decided within `patience` seconds."""
    if "1" in (os.environ.get("HF_HUB_OFFLINE"), os.environ.get("HF_DATASETS_OFFLINE")):
        return False
    place = urlsplit(address)
    proxy = None if urllib.request.proxy_bypass(place.hostname or "") else urllib.request.getproxies().get(place.scheme)
    target = urlsplit(proxy) if proxy else place
    port = target.port or (80 if target.scheme == "http" else 443)
    answers: queue.Queue[bool] = queue.Queue()
    threading.Thread(target=_knock, args=(target.hostname, port, patience, answers), daemon=True).start()
    try:
        return answers.get(timeout=patience)
    except queue.Empty:
        return False


def _knock(host: str | None, port: int, patience: float, answers: queue.Queue[bool]) -> None:
    """Connect; a thread of its own, because looking up a name may take longer than any patience."""
    try:
        with socket.create_connection((host, port), timeout=patience):
            answers.put(True)
    except OSError:
        answers.put(False)


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co")


def _remedy(benchmark: Benchmark, address: str, error: Exception) -> str:
    host = urlsplit(address).hostname
    return (f"cannot load {benchmark.name} ({benchmark.hub} at {benchmark.revision[:12]}): {type(error).__name__}: "
            f"{str(error).strip().splitlines()[0] if str(error).strip() else 'no message'}. It needs {host}, or a copy "
            "in this machine's cache: connect (HF_ENDPOINT names a mirror, HF_TOKEN an account), or run `relay ingest` "
            "once where there is a network and copy data/ or ~/.cache/huggingface here, or name a file of it here "
            f"(`ingest.copies: {{{benchmark.name}: PATH}}`), or use the tiny world: "
            "`relay profile tiny`")

