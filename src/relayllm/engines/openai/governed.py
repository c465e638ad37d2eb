"""A teacher at an address, under the rules of the pool that names it: whoever asks it alone sends it whole prompts."""

from __future__ import annotations

from typing import Any

from relayllm.engines.openai.calls import CallStream
from relayllm.engines.openai.governance import Governance
from relayllm.engines.openai.pool import refused_stream
from relayllm.engines.openai.pool_config import read_pool
from relayllm.engines.openai.teacher import OpenAITeacher
from relayllm.errors import PolicyRefusal
from relayllm.relay.protocols import CallRequest, CallServer, Tokenizer
from relayllm.settings import current_settings


class GovernedTeacher:
    """A `CallServer` that sends what governance allows."""

    def __init__(self, server: OpenAITeacher, governance: Governance, name: str) -> None:
        self._server, self._governance, self._name = server, governance, name

    @property
    def up(self) -> bool:
        """Whether calls are sent: not while the circuit is open."""
        return self._server.up

    def submit(self, request: CallRequest) -> CallStream:
        """Start a call as the rules leave it; one that they refuse has failed."""
        try:
            return self._server.submit(self._governance.review(request, self._name))
        except PolicyRefusal as refusal:
            return refused_stream(self._name, refusal)

    def wait(self, seconds: float) -> bool:
        """Sleep until some call has news, at most so long."""
        return self._server.wait(seconds)

    def close(self) -> None:
        """End all calls and let the connections go."""
        self._server.close()


def teacher_at(url: str, tokenizer: Tokenizer, **more: Any) -> CallServer:
    """The teacher at an address; where RELAY_TEACHERS names it as one that is not trusted, its rules and audit hold.

    Raises:
        ConfigError: RELAY_TEACHERS names no pool, or the audit's key is not set.
    """
    path = current_settings().teachers
    pool = None if path is None else read_pool(path)
    strangers = [] if pool is None else [one.name for one in pool.at(url) if not one.trusted]
    if pool is None or pool.governance is None or not strangers:
        return OpenAITeacher(url, tokenizer, **more)
    governance = Governance(pool.governance, tokenizer)
    return GovernedTeacher(OpenAITeacher(url, tokenizer, **more), governance, strangers[0])
