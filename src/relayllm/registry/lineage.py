"""The champions before a champion: what small losses, release after release, are measured against."""

from __future__ import annotations

from collections.abc import Iterator

from relayllm.errors import NoSuchVersion
from relayllm.registry.champions import FORCED
from relayllm.registry.client import Registry, Version


def lineage(registry: Registry, champion: Version) -> Iterator[Version]:
    """A champion, the one it replaced, and so on; what was rolled back is not among them.

    Ends at a version that somebody promoted by force, who has seen the loss and wants it; before one that was scored on
    other data, for the two cannot be compared; and before one that was deleted.
    """
    seen: set[int] = set()
    one: Version | None = champion
    while one is not None and one.number not in seen:
        seen.add(one.number)
        yield one
        one = _before(registry, one)


def best_champion(registry: Registry, champion: Version) -> Version:
    """The most accurate of a champion's lineage; of equals the latest."""
    return max(lineage(registry, champion), key=lambda one: registry.metrics(one).get("accuracy", 0.0))


def _before(registry: Registry, version: Version) -> Version | None:
    number = version.tags.get("replaces", "")
    if not number or version.tags.get("promoted_because", "").startswith(FORCED):
        return None
    try:
        before = registry.find(version.name, number)
    except NoSuchVersion:
        return None
    return before if before.tags.get("data") == version.tags.get("data") else None
