"""Find and load what is to be served: a registered version, a package folder, or a bare student."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from relayllm.engines.checkpoints.adapters import refuse_adapter
from relayllm.engines.checkpoints.gguf import names_gguf
from relayllm.errors import ModelError, NoSuchVersion, RegistryError, RelayError
from relayllm.files import write_json
from relayllm.packaging.folder import RECORD, open_package
from relayllm.registry.faults import check_registry
from relayllm.relay.bias_curve import BiasCurve
from relayllm.relay.options import Options
from relayllm.relay.prices import VARIABLE, Prices
from relayllm.serving.models.decoders import LoadModels, maker
from relayllm.settings import Settings, current_settings, without_secrets

if TYPE_CHECKING:
    from relayllm.engines.decoder import RelayDecoder
    from relayllm.registry.client import Registry

LOG = logging.getLogger("relayllm.serving")
CHAMPION = "models:/relay-decoder@champion"
"""What `make pipeline` promotes, and what is loaded when nobody says."""
FALLBACK_NAME = "relay-decoder"
NO_TEACHER = "none"
PATIENCE = 30.0
"""Seconds that the registry has to name a version and hand over its files, before the last good copy is served."""


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model that was found and can be loaded: its name, version and folder."""

    name: str
    version: str
    folder: Path
    """Or the GGUF file of a bare student."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory, and how it decodes when a request does not say."""

    found: FoundModel
    decoder: RelayDecoder
    defaults: Options
    slots: int | None = None
    bias_curve: BiasCurve | None = None
    prices: Prices = field(default_factory=Prices)
    """The environment's, else those that the package was evaluated at."""


def load_model(source: str = CHAMPION, teacher: str | None = None, **options: Any) -> LoadedModel:
    """Find and load a registered version such as models:/relay-decoder@champion, a package's folder or a student's.

    `teacher` stands in for the package's own, as in `load`; `options` are those of `RelayDecoder.from_pretrained`.

    Raises:
        RegistryError: the registry does not answer, or has no such version.
        ModelError: there is no such folder, it is not whole, or it is no relay decoder.
    """
    from relayllm.registry.client import Registry

    return load(find(source, current_settings(), Registry), teacher, **options)


def find(source: str, settings: Settings, registry: Callable[[], Registry], patience: float = PATIENCE) -> FoundModel:
    """Find where a model lies. A version that was served before is found even when the registry is down.

    Raises:
        NoSuchVersion: the registry answers, and the alias or version is gone; the last good copy is forgotten.
        RegistryError: the registry does not answer, and nothing of it was served from here before.
        ModelError: the folder does not exist, or holds an adapter.
    """
    if not source.startswith("models:/"):
        folder = Path(source)
        if names_gguf(source) and folder.is_file():
            return FoundModel(FALLBACK_NAME, folder.stem, folder)
        if not folder.is_dir():
            raise ModelError(f"there is no model at {folder}: give a folder, a .gguf file, or a registered version "
                             "such as models:/relay-decoder@champion (`make pipeline` promotes one)")
        refuse_adapter(folder)
        return FoundModel(_name_of(folder), folder.resolve().name, folder)
    note = settings.store / "serving" / f"{source.removeprefix('models:/').replace('/', '_')}.json"
    try:
        found = _in_time(lambda: _resolved(source, registry, settings), settings, patience)
    except NoSuchVersion:
        note.unlink(missing_ok=True)
        raise
    except RegistryError as error:
        return _last_good(source, note, error)
    write_json(note, {"name": found.name, "version": found.version, "folder": str(found.folder)})
    return found


def load(found: FoundModel, teacher: str | None = None, *, students: Sequence[str] = (),
         make: LoadModels | None = None, **options: Any) -> LoadedModel:
    """Load both models. `teacher` stands in for the package's own; `none` leaves it out.

    `students` stand in for the package's own: the addresses of servers, with which no model is loaded here, or one GGUF
    file. They must have the package's weights. `options` are those of `RelayDecoder.from_pretrained`.

    Raises:
        ModelError: the folder is not whole, or is no relay decoder.
        StudentError: no server of the student is in reach, or one serves other weights than the package's.
        ConfigError: students are servers, and the teacher is a folder, an option is for models of this process, or
            what they read is too short for the package's answers.
    """
    if names_gguf(found.folder) or (not (found.folder / "artifacts" / RECORD).is_file()
                                    and (found.folder / "config.json").is_file()):
        bare = (make or maker(students))(
            found.folder, None if teacher == NO_TEACHER else teacher or current_settings().remote_teacher, **options)
        return LoadedModel(found, bare, Options(), prices=_with_teachers(Prices.from_environment(os.environ), bare))
    package = open_package(found.folder)
    check_signature(found.folder)
    source = package.teacher
    address = None if teacher == NO_TEACHER else teacher or source.address(found.folder)
    revision = source.revision if source.kind == "hub" and address == source.id else ""
    defaults, slots = defaults_of(package.decoding), int(package.decoding.get("slots") or 0) or None
    prices = Prices.from_environment(os.environ) if VARIABLE in os.environ else package.prices
    decoder = (make or maker(students, package))(package.student, address, teacher_revision=revision or None, **options)
    return LoadedModel(found, decoder, defaults, slots, package.bias_curve, _with_teachers(prices, decoder))


def _with_teachers(prices: Prices, decoder: RelayDecoder) -> Prices:
    """With those of a pool's teachers that have prices of their own."""
    server = getattr(getattr(decoder, "teacher", None), "server", None)
    own = getattr(server, "prices", None)
    return replace(prices, teachers=own) if own else prices


def defaults_of(decoding: Mapping[str, Any]) -> Options:
    """The package's own decoding as options."""
    return Options(**{name: value for name, value in decoding.items() if name in Options.__dataclass_fields__})


def check_signature(folder: Path) -> None:
    """Refuse an MLflow model that takes or gives something else than a relay decoder does.

    Raises:
        ModelError: MLmodel is missing or unreadable, or its signature is another one.
    """
    path = folder / "MLmodel"
    try:
        signature = (yaml.safe_load(path.read_text(encoding="utf-8")) or {})["signature"]
        takes = {column["name"] for column in json.loads(signature["inputs"])}
        gives = {column["name"] for column in json.loads(signature["outputs"])}
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise ModelError(f"{path} says nothing readable about inputs and outputs ({type(error).__name__}): make the "
                         "package again, `dvc repro -f package`") from error
    missing = ({"prompt"} - takes) | ({"text", "call_ratio"} - gives)
    if missing:
        raise ModelError(f"{path}: the signature takes {sorted(takes)} and gives {sorted(gives)}, "
                         f"without {', '.join(sorted(missing))}: this is another model; serve one that `relay package` "
                         "wrote")


def _resolved(source: str, registry: Callable[[], Registry], settings: Settings) -> FoundModel:
    check_registry(settings)
    client = registry()
    version = client.resolve(source)
    return FoundModel(version.name, str(version.number), client.fetch(version))


def _in_time(work: Callable[[], FoundModel], settings: Settings, patience: float) -> FoundModel:
    """Ask in a thread: MLflow tries for minutes to reach a store that is down, and a server should start."""
    future: Future[FoundModel] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="registry", daemon=True).start()
    try:
        return future.result(patience)
    except TimeoutError as error:
        remedy = ("it needs no server, so this machine is busy: run it again"
                  if settings.registry_uri.startswith("sqlite") else
                  "somebody listens there, so the server is busy: run it again")
        raise RegistryError(f"the registry at {without_secrets(settings.registry_uri)} did not answer within "
                            f"{patience:g} s: {remedy}") from error
    except RelayError:
        raise
    except Exception as error:  # what a store raises that cannot even be opened
        raise RegistryError(f"the registry at {without_secrets(settings.registry_uri)} cannot be opened: "
                            f"{type(error).__name__}: {without_secrets(str(error))[:200]}") from error


def _last_good(source: str, note: Path, error: RegistryError) -> FoundModel:
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
        found = FoundModel(known["name"], known["version"], Path(known["folder"]))
    except (OSError, ValueError, KeyError):
        raise error from None
    if not found.folder.is_dir():
        raise error
    LOG.warning("%s; serving the last good copy of %s: version %s in %s", error, source, found.version, found.folder)
    return found


def _name_of(folder: Path) -> str:
    try:
        record = json.loads((folder / "artifacts" / RECORD).read_text(encoding="utf-8"))
        return str(record.get("registered_name") or FALLBACK_NAME)
    except (OSError, ValueError, AttributeError):
        return FALLBACK_NAME
