"""Which version has the champion alias: promotion, and the roll-back to the champion before.

A version remembers whom it replaced, so that a roll-back knows where to go. An alias moves before any tag says that it
did: what fails leaves no version that is called what it is not.
"""

from __future__ import annotations

from datetime import UTC, datetime

from relayllm.errors import NoSuchVersion, RegistryError
from relayllm.registry.client import CANDIDATE, CHAMPION, Registry, Version

FORCED = "forced: "
"""How the reason begins of a version that was promoted although a gate fails."""


def promote(registry: Registry, version: Version, because: str) -> Version:
    """Move the champion alias to a version; it remembers whom it replaced."""
    holder = registry.champion(version.name)
    noted = _noted_champions(registry, version.name)
    if holder is not None and holder.number == version.number:
        if holder.number in noted:
            return holder
        holder = None  # somebody gave it the alias by hand: whoever was promoted before is whom it replaces
    now = registry.find(version.name, version.number)  # `version` may be older than its alias, or gone
    replaced = str(holder.number) if holder else next(map(str, reversed(noted)), "")
    registry.annotate(version, tags={"replaces": replaced})  # a roll-back needs it
    registry.set_alias(version, CHAMPION)
    if CANDIDATE in now.aliases:
        registry.delete_alias(version.name, CANDIDATE)
    registry.annotate(version, tags={"promoted": _now(), "promoted_because": because, "status": "champion",
                                     "held_because": ""})
    for number, one in noted.items():
        if number != version.number:
            registry.annotate(one, tags={"status": "replaced"})
    return registry.find(version.name, version.number)


def hold(registry: Registry, version: Version, because: str) -> Version:
    """Leave a version `candidate`, with the reason as a tag."""
    registry.set_alias(version, CANDIDATE)
    registry.annotate(version, tags={"status": "held", "held_because": because})
    return registry.find(version.name, version.number)


def rollback(registry: Registry, name: str, because: str) -> Version | None:
    """Give the champion alias back to the version before; None when the first one had it.

    Then nothing is champion: a server that runs answers on and says so at /ready, a new one does not start.

    Raises:
        RegistryError: there is no champion, or the version before was deleted; then nothing has changed.
    """
    current = registry.champion(name)
    if current is None:
        raise RegistryError(f"{name} has no champion, so there is nothing to roll back: `relay promote` makes one")
    before = _before(registry, current)
    if before is None:
        registry.delete_alias(name, CHAMPION)
    else:
        registry.set_alias(before, CHAMPION)
    registry.annotate(current, tags={"status": "rolled back", "rolled_back_because": because, "rolled_back": _now()})
    if before is None:
        return None
    registry.annotate(before, tags={"status": "champion"})
    return registry.find(name, before.number)


def _before(registry: Registry, champion: Version) -> Version | None:
    """The version that a champion replaced; None for the first. An alias moved by hand goes back to who had it."""
    noted = _noted_champions(registry, champion.name)
    if len(noted) == 1 and champion.number not in noted:
        return next(iter(noted.values()))
    number = champion.tags.get("replaces")
    there = ", ".join(one.label for one in registry.versions(champion.name))
    others = f"`relay promote` gives the alias to one of {there}"
    if number is None:
        raise RegistryError(f"version {champion.number} of {champion.name} was made champion by hand, so whom it "
                            f"replaced is not known: it stays champion; {others}")
    try:
        return registry.find(champion.name, number) if number else None
    except NoSuchVersion as error:
        raise RegistryError(f"version {champion.number} of {champion.name} replaced version {number}, which was "
                            f"deleted: it stays champion; {others}") from error


def _noted_champions(registry: Registry, name: str) -> dict[int, Version]:
    """Who is champion by our own notes, by number: one version, or several of an older relayllm."""
    return {one.number: one for one in registry.versions(name) if one.tags.get("status") == "champion"}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
