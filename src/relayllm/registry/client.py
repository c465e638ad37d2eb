"""Versions of the packaged decoder and the aliases that point at them: the only module that talks to the registry.

`champion` is what serves, `candidate` what wants to; `champions.py` decides which version that is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from relayllm.errors import ConfigError, NoSuchVersion, RegistryError
from relayllm.files import atomic_write, scratch_beside
from relayllm.packaging.folder import Package, content_hash, open_package
from relayllm.registry.faults import describe_fault
from relayllm.registry.log_model import log_package, metric_entries, package_tags
from relayllm.settings import Settings, current_settings

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from mlflow import MlflowClient

CHAMPION, CANDIDATE = "champion", "candidate"


@dataclass(frozen=True, slots=True)
class Version:
    """A package in the registry, by its number, with the aliases and tags it had when it was read."""

    name: str
    number: int
    model_id: str
    """MLflow's id of the logged model behind it."""
    run_id: str
    tags: Mapping[str, str]
    aliases: tuple[str, ...] = ()

    @property
    def uri(self) -> str:
        """What MLflow loads and serves."""
        return f"models:/{self.name}/{self.number}"

    @property
    def label(self) -> str:
        """The version as people name it: `7`, or `7 (champion)`."""
        return f"{self.number} ({', '.join(self.aliases)})" if self.aliases else str(self.number)


class Registry:
    """The registry that the settings name; SQLite in the project's folder by default."""

    def __init__(self, settings: Settings | None = None) -> None:
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        import mlflow

        self._settings = settings or current_settings()
        self._settings.store.mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(self._settings.tracking_uri)  # a few of MLflow's own calls know only the global one
        mlflow.set_registry_uri(self._settings.registry_uri)

    @cached_property
    def _client(self) -> MlflowClient:
        """Made at its first use: MLflow makes the embedded store with it."""
        import mlflow

        return mlflow.MlflowClient(self._settings.tracking_uri, self._settings.registry_uri)

    def register(self, folder: Path) -> Version:
        """Register a package: a run under the pipeline's, a logged model with its scores, a version.

        The same package is registered once: asked again, its version comes back.
        """
        package, key = open_package(folder), content_hash(folder)
        name = str(package.record["registered_name"])
        with self._reach():
            known = [version for version in self._all(name) if version.tags.get("package") == key]
            return known[-1] if known else self._register(package, name, key)

    def find(self, name: str, which: str | int) -> Version:
        """A version by its number or an alias.

        Raises:
            NoSuchVersion: the registry answers, and there is none; or nothing was ever registered in this folder.
        """
        own = Path(self._settings.registry_uri.removeprefix("sqlite:///"))
        if self._settings.registry_uri.startswith("sqlite:") and not own.is_file():  # asked, MLflow would make one
            raise NoSuchVersion(f"there is no registry at {own} yet: `make pipeline` fills one; if it has, run this in "
                                "the folder where it ran, or name that folder in RELAY_ROOT")
        word = str(which).removeprefix(f"models:/{name}").lstrip("/@")
        with self._reach():
            found = [version for version in self._all(name) if word == str(version.number) or word in version.aliases]
            if found:
                return found[0]
            there = ", ".join(version.label for version in self._all(name)) or "none"
        raise NoSuchVersion(f"{name} has no version {word!r} (there is: {there}): `make pipeline` registers one, "
                            "`relay promote` gives it the champion alias")

    def resolve(self, uri: str) -> Version:
        """The version that an address like `models:/relay-decoder@champion` names."""
        name, mark, which = uri.removeprefix("models:/").partition("@")
        if not mark:
            name, _, which = name.partition("/")
        if not uri.startswith("models:/") or not name or not which:
            raise ConfigError(f"{uri!r} names no version: write models:/NAME@ALIAS or models:/NAME/NUMBER")
        return self.find(name, which)

    def champion(self, name: str) -> Version | None:
        """What serves now; None before the first promotion."""
        with self._reach():
            return next((version for version in self._all(name) if CHAMPION in version.aliases), None)

    def versions(self, name: str) -> list[Version]:
        """All versions, the oldest first."""
        with self._reach():
            return self._all(name)

    def fetch(self, version: Version) -> Path:
        """The version's package as a local folder: in place when the store is a folder, else a copy in .store/packages.

        A copy that is there is used even when the store is down; one without MLmodel is no copy, and is fetched again.

        Raises:
            RegistryError: the files are out of reach.
        """
        kept = self._settings.store / "packages" / version.model_id
        if (kept / "MLmodel").is_file():
            return kept
        with self._reach():
            place = self._client.get_logged_model(version.model_id).artifact_location
            if urlparse(place).scheme in ("", "file"):
                return self._on_this_machine(version, Path(unquote(urlparse(place).path)))
            from mlflow.artifacts import download_artifacts

            with scratch_beside(kept) as scratch, atomic_write(kept) as part:
                found = download_artifacts(artifact_uri=place, dst_path=str(scratch / "files"),
                                           tracking_uri=self._settings.tracking_uri)
                Path(found).rename(part)  # the last part of the artifacts' address is a folder of its own
            return kept

    def _on_this_machine(self, version: Version, folder: Path) -> Path:
        if not folder.is_dir():
            raise RegistryError(f"version {version.number} of {version.name} lies in {folder}, which this machine has "
                                "not: start the tracking server with --artifacts-destination, so that it hands files "
                                "out, or run this where the folder is")
        return folder

    def params(self, version: Version) -> dict[str, str]:
        """params.yaml as it was when the version was registered, flat."""
        with self._reach():
            return dict(self._client.get_logged_model(version.model_id).params or {})

    def metrics(self, version: Version) -> dict[str, float]:
        """The scores of a version and what was measured of it: `accuracy`, `pens/accuracy`, `seconds_per_answer`."""
        with self._reach():
            return dict(self._client.get_run(version.run_id).data.metrics)

    def annotate(self, version: Version, *, tags: Mapping[str, str] | None = None,
                 metrics: Mapping[str, float] | None = None, files: Mapping[str, str] | None = None) -> None:
        """Write on a version: tags, numbers, and texts as files of its run (`comparison.md`: ...)."""
        with self._reach():
            for name, value in (tags or {}).items():
                self._client.set_model_version_tag(version.name, str(version.number), name, value[:4000])
            if metrics:
                entries = metric_entries(metrics, version.model_id, version.run_id)
                self._client.log_batch(version.run_id, metrics=entries)
            for file, text in (files or {}).items():
                self._client.log_text(version.run_id, text, file)

    def describe(self, version: Version, text: str) -> None:
        """Set the description that the registry's page shows, Markdown."""
        with self._reach():
            self._client.update_model_version(version.name, str(version.number), text)

    def set_alias(self, version: Version, alias: str) -> None:
        """Point an alias at a version; whichever had it has it no more."""
        with self._reach():
            self._client.set_registered_model_alias(version.name, alias, str(version.number))

    def delete_alias(self, name: str, alias: str) -> None:
        """Leave an alias with no version."""
        with self._reach():
            self._client.delete_registered_model_alias(name, alias)

    def _all(self, name: str) -> list[Version]:
        from mlflow.exceptions import MlflowException

        try:
            owners = self._client.get_registered_model(name).aliases
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return []
            raise
        found = self._client.search_model_versions(f"name = '{name}'")
        return sorted((_version(entry, owners) for entry in found), key=lambda version: version.number)

    def _register(self, package: Package, name: str, key: str) -> Version:
        from mlflow.exceptions import MlflowException

        model, run = log_package(self._client, package, name, self._settings)
        try:
            self._client.create_registered_model(name, description="The relay decoder; see README.md")
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        tags = {**package_tags(package), "package": key, "status": "registered"}
        entry = self._client.create_model_version(name, f"models:/{model}", run, tags=tags, model_id=model)
        link = json.dumps([{"name": name, "version": str(entry.version)}])
        self._client.set_logged_model_tags(model, {"mlflow.modelVersions": link})  # the model's page shows it
        self._client.set_terminated(run)
        return _version(entry, {})

    @contextmanager
    def _reach(self) -> Iterator[None]:
        """Say which registry it was when one does not answer as it should."""
        from mlflow.exceptions import MlflowException
        from requests.exceptions import RequestException

        try:
            yield
        except (MlflowException, RequestException, OSError) as error:
            raise RegistryError(describe_fault(self._settings.registry_uri, error)) from error


def _version(entry: ModelVersion, owners: Mapping[str, Any]) -> Version:
    names = tuple(sorted(alias for alias, number in owners.items() if int(number) == int(entry.version)))
    return Version(entry.name, int(entry.version), str(entry.source).removeprefix("models:/"), str(entry.run_id or ""),
                   dict(entry.tags), names)
