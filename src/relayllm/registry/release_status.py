"""What became of a released version, as the registry says now: people roll back, promote and delete meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

from relayllm.errors import NoSuchVersion
from relayllm.registry.client import CHAMPION, Registry, Version


@dataclass(frozen=True, slots=True)
class ReleaseStatus:
    """Whether a release is left to do for a version, and what is to say about it."""

    done: bool
    text: str


def release_status(registry: Registry, name: str, number: int) -> ReleaseStatus:
    """Look a version up by its number, with its aliases and tags as they are.

    Raises:
        RegistryError: the registry is out of reach.
    """
    try:
        version = registry.find(name, number)
    except NoSuchVersion:
        return ReleaseStatus(False, f"{name} version {number} is not in this registry")
    status = version.tags.get("status", "")
    if CHAMPION in version.aliases:
        return ReleaseStatus(True, f"{name} version {number} is champion: {version.tags.get('promoted_because', '')}")
    if status == "held":
        return ReleaseStatus(True, f"{name} version {number} stays candidate: {version.tags.get('held_because', '')}")
    if status == "rolled back":
        why = version.tags.get("rolled_back_because", "")
        return ReleaseStatus(True, f"{name} version {number} was rolled back ({why}); {_who(registry.champion(name))}; "
                                   f"`relay promote {number}` brings it back")
    if (after := registry.champion(name)) is not None and after.number > number:
        return ReleaseStatus(True, f"{name} version {number} is champion no more; {_who(after)}")
    return ReleaseStatus(False, f"{name} version {number} is registered and not decided on; "
                                f"{_who(registry.champion(name))}")


def _who(champion: Version | None) -> str:
    return f"champion is version {champion.number}" if champion else "nothing is champion"
