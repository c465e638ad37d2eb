"""A teacher at an address, under the rules of the pool that names it: whoever asks it alone sends it whole prompts."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from relayllm.engines.openai.calls import CallStream
from relayllm.engines.openai.governance.rules import Governance
from relayllm.engines.openai.options import RemoteOptions
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

    def context_length(self) -> int:
        """Tokens that prompt and call may take together, asked for now; 0 where it does not say, or is away."""
        return self._server.context_length()

    def close(self) -> None:
        """End all calls and let the connections go."""
        self._server.close()


def teacher_at(url: str, tokenizer: Tokenizer, *, forbidden_ids: Sequence[int] = (),
               options: RemoteOptions | None = None, news: threading.Event | None = None) -> CallServer:
    """The teacher at an address; where RELAY_TEACHERS names it as one that is not trusted, its rules and audit hold.

    Raises:
        ConfigError: RELAY_TEACHERS names no pool, or the audit's key is not set.
    """
    name, governance = _rules_for(url, tokenizer)
    server = OpenAITeacher(url, tokenizer, forbidden_ids=forbidden_ids, options=options, news=news)
    return GovernedTeacher(server, governance, name) if governance else server


def _rules_for(url: str, tokenizer: Tokenizer) -> tuple[str, Governance | None]:
    """The name of the stranger at an address, and what it may be sent; no rules: none is there."""
    path = current_settings().teachers
    pool = None if path is None else read_pool(path)
    strangers = [] if pool is None else [one.name for one in pool.at(url) if not one.trusted]
    if pool is None or pool.governance is None or not strangers:
        return "", None
    return strangers[0], Governance(pool.governance, tokenizer)
