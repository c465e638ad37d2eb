"""Servers whose weights follow a training: each is told which folder to read them from.

The routes are vLLM's for development (`VLLM_SERVER_DEV_MODE=1`), the method that reads is ours
(`infra/vllm/relayllm_vllm/weights.py`). vLLM's own transfer of weights, which TRL's server mode uses, goes by NCCL from
one GPU to another; a folder is slower and works on every machine that sees it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import httpx

from relayllm.engines.openai.addresses import base_url
from relayllm.engines.openai.student import KEY_VARIABLE
from relayllm.errors import StudentError

T = TypeVar("T")

CONNECT_SECONDS, LOAD_SECONDS = 5.0, 600.0
"""How long a connection, and the reading of a folder, may take."""
RESETS, PAUSE = 50, 0.2
"""A cache cannot be emptied while an answer that was cut off still holds a part of it: tries, and seconds between."""
REMEDY = ("start vLLM 0.32 with VLLM_SERVER_DEV_MODE=1 in its environment and --worker-extension-cls="
          "relayllm_vllm.weights.WeightReader (infra/vllm), for this training alone: such a server takes weights from "
          "whoever reaches it")


class ServedWeights:
    """The weights of one or several vLLM servers of one student."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = [base_url(url) for url in urls]
        key = os.environ.get(KEY_VARIABLE)
        self._http = httpx.Client(timeout=httpx.Timeout(LOAD_SECONDS, connect=CONNECT_SECONDS), trust_env=False,
                                  headers={"authorization": f"Bearer {key}"} if key else {})

    def check(self) -> None:
        """Ask every server whether it takes weights at all.

        Raises:
            StudentError: one does not, or is out of reach.
        """
        def check(url: str) -> None:
            self._version(url)
            self._call(url, "relay_check_weights")

        self._each(check)

    def load(self, folder: Path, version: str) -> None:
        """Let every server read a folder, which it sees at the same path, and forget what it cached of older weights.

        Raises:
            StudentError: a server is out of reach, takes no weights, or cannot read these.
        """
        def load(url: str) -> None:
            self._call(url, "relay_read_weights", str(folder.resolve()))
            self._empty_cache(url)
            self._ask("POST", url, "/update_weight_version", {"new_version": version})

        self._each(load)

    def expect(self, version: str) -> None:
        """See that every server still has the weights that it was given.

        Raises:
            StudentError: one was started again, or somebody else gave it others.
        """
        for url, found in zip(self._urls, self._each(self._version), strict=True):
            if found != version:
                raise StudentError(f"student at {url} has the weights '{found}', training gave it '{version}': it was "
                                   "started again, or another training uses it; give each training servers of its own "
                                   "and run the stage again, which goes on from its last checkpoint")

    def close(self) -> None:
        """Close the HTTP connections; safe to call twice."""
        self._http.close()

    def _each(self, ask: Callable[[str], T]) -> list[T]:
        with ThreadPoolExecutor(len(self._urls)) as pool:
            return list(pool.map(ask, self._urls))

    def _version(self, url: str) -> str | None:
        return self._ask("GET", url, "/weight_info", None).get("weight_version")

    def _call(self, url: str, method: str, *given: str) -> None:
        self._ask("POST", url, "/collective_rpc", {"method": method, "args": given})

    def _empty_cache(self, url: str) -> None:
        for _ in range(RESETS):
            if self._ask("POST", url, "/reset_prefix_cache", None).get("success"):
                return
            time.sleep(PAUSE)
        raise StudentError(f"student at {url} could not empty its prefix cache in {RESETS * PAUSE:g} s, which knows "
                           "older weights: does somebody else ask it? Give each training servers of its own")

    def _ask(self, method: str, url: str, route: str, body: Any) -> dict[str, Any]:
        try:
            answer = self._http.request(method, url + route, json=body)
        except httpx.HTTPError as error:
            raise StudentError(f"student at {url} did not answer {route}: {type(error).__name__}: {error}; start it, "
                               "or correct RELAY_ROLLOUT_URLS") from error
        if answer.status_code == 404:
            raise StudentError(f"student at {url} takes no weights (it knows no {route}): {REMEDY}")
        if answer.status_code != 200:
            raise StudentError(f"student at {url} answered {route} with {answer.status_code}: {answer.text[:300]}; "
                               f"does it see the same folders, and serve this model? Else {REMEDY}")
        return dict(answer.json()) if answer.content else {}
