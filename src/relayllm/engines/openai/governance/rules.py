"""Governance: what may be sent to a teacher elsewhere. Masks or refuses text, and keeps an audit of hashes."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from relayllm.engines.openai.governance.card_numbers import Span, card_numbers
from relayllm.engines.openai.pool_config import GovernanceConfig
from relayllm.errors import ConfigError, PolicyRefusal
from relayllm.relay.protocols import CallRequest, Tokenizer
from relayllm.relay.vocabulary import continuation_ids

Action = Literal["sent", "masked", "refused"]
EMAIL = r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"


@dataclass(frozen=True, slots=True)
class Rule:
    """What to look for, and what is done where it is found."""

    name: str
    spans: Callable[[str], Sequence[Span]]
    """Where matches begin and end in a text, in order and apart."""
    refuses: bool

    def matches(self, text: str) -> bool:
        """Whether it is found anywhere."""
        return bool(self.spans(text))

    def mask(self, text: str) -> str:
        """The text with the rule's name in place of every match."""
        for start, stop in reversed(self.spans(text)):
            text = f"{text[:start]}[{self.name}]{text[stop:]}"
        return text


class Governance:
    """Reviews every call before it is sent. Thread-safe; what matches no rule goes out as it came."""

    def __init__(self, config: GovernanceConfig, tokenizer: Tokenizer) -> None:
        self._rules, self._tokenizer = [_rule(one.name, one.pattern, one.action) for one in config.rules], tokenizer
        self._special = frozenset(tokenizer.added_tokens_decoder)
        self._path = None if config.audit is None else Path(config.audit)
        self._key = os.environ.get(config.key_variable, "").encode() if config.key_variable else b""
        if config.key_variable and not self._key:
            raise ConfigError(f"governance.key_variable names {config.key_variable}, which is not set: set it to the "
                              "audit's key, or leave it out for plain sha256")
        self._lock = threading.Lock()

    def review(self, request: CallRequest, teacher: str) -> CallRequest:
        """What may be sent to this teacher.

        Raises:
            PolicyRefusal: a rule says no, or the audit cannot be written.
        """
        runs = [self._text(run) for run in self._runs(request.prompt_ids)]
        texts = [*runs, *(str(message["content"]) for message in request.messages or ())]
        found = [rule for rule in self._rules if any(rule.matches(text) for text in texts)]
        content, refusing = "\n".join(runs), [rule.name for rule in found if rule.refuses]
        sent = None if refusing else self._masked(request, found) if found else request
        action: Action = "refused" if sent is None else "masked" if found else "sent"
        names = [rule.name for rule in found]
        self._note(request, teacher, action, names, content)
        if sent is None:
            raise PolicyRefusal(f"governance keeps a call from teacher {teacher} (rule "
                                f"{', '.join(refusing or names)}): "
                                "the student goes on alone; see the audit, and governance.rules")
        return sent

    def _masked(self, request: CallRequest, found: Sequence[Rule]) -> CallRequest | None:
        """The request without what the rules found; None where a match goes over the beginning of the answer."""
        at = request.answer_start
        head, tail = self._masked_ids(request.prompt_ids[:at], found), self._masked_ids(request.prompt_ids[at:], found)
        left = [self._text(run) for run in self._runs((*head, *tail))]
        if any(rule.matches(text) for rule in found for text in left):
            return None
        messages = None if request.messages is None else tuple(
            {**message, "content": _masked_text(str(message["content"]), found)} for message in request.messages)
        return replace(request, prompt_ids=(*head, *tail), answer_start=len(head), messages=messages)

    def _masked_ids(self, ids: Sequence[int], found: Sequence[Rule]) -> list[int]:
        """Runs where nothing matches, and special tokens, keep their ids."""
        masked: list[int] = []
        for run in self._runs(ids):
            text = self._text(run)
            clean = _masked_text(text, found)
            masked += run if clean == text else continuation_ids(self._tokenizer, clean)
        return masked

    def _runs(self, ids: Sequence[int]) -> list[list[int]]:
        """The ids, special tokens apart from what stands between them."""
        runs: list[list[int]] = []
        for token in ids:
            special = token in self._special
            if not runs or special or runs[-1][-1] in self._special:
                runs.append([])
            runs[-1].append(token)
        return runs

    def _text(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _note(self, request: CallRequest, teacher: str, action: Action, rules: list[str], content: str) -> None:
        """One line of the audit: who, what, when, to whom; the content as a hash only."""
        if self._path is None:
            return
        data = content.encode("utf-8", "replace")
        digest = (f"hmac-sha256:{hmac.new(self._key, data, hashlib.sha256).hexdigest()}" if self._key
                  else f"sha256:{hashlib.sha256(data).hexdigest()}")
        line = {"time": datetime.now(UTC).isoformat(), "caller": request.caller or None,
                "answer": f"{request.session:x}", "call": request.call, "teacher": teacher, "action": action,
                "rules": rules, "tokens": len(request.prompt_ids), "content": digest}
        try:
            with self._lock, self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise PolicyRefusal(f"the audit {self._path} cannot be written ({error}): nothing is sent to teacher "
                                f"{teacher} without it; make room, or change governance.audit") from error


def _rule(name: str, pattern: str | None, action: str) -> Rule:
    if pattern is None and name == "card":
        return Rule(name, card_numbers, action == "refuse")
    compiled = re.compile(EMAIL if pattern is None else pattern)
    return Rule(name, lambda text: [match.span() for match in compiled.finditer(text)], action == "refuse")


def _masked_text(text: str, rules: Sequence[Rule]) -> str:
    for rule in rules:
        text = rule.mask(text)
    return text
