"""The Kubernetes manifests of infra/, rendered by kustomize."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests.support.places import ROOT

FOLDER = ROOT / "infra" / "kubernetes"
CLUSTERS = ["overlays/cpu", "overlays/gpu", "overlays/gpu-workers", "overlays/pools"]
RENDERED = ["base", *CLUSTERS, "training"]
WORKLOADS = {"Deployment", "Job", "StatefulSet"}
DOCKERFILE = (ROOT / "infra/images/relay.Dockerfile").read_text()
COMMANDS = {name: ROOT / source for source, name in
            re.findall(r"^COPY --chmod=755 (\S+) /usr/local/bin/(\S+)$", DOCKERFILE, flags=re.M)}
"""Commands of ours in the images, and the scripts they are."""
NEEDS_KUBECTL = pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl for `kubectl kustomize`")


@cache
def rendered(overlay: str) -> list[dict]:
    """Manifests that an overlay makes."""
    done = subprocess.run(["kubectl", "kustomize", str(FOLDER / overlay)], capture_output=True, text=True, check=True)
    return list(yaml.safe_load_all(done.stdout))


def with_component(overlay: str, component: str, place: Path) -> list[dict]:
    """Manifests that an overlay makes which takes in one component more, written into an empty folder."""
    def there(name: str) -> str:
        return os.path.relpath(FOLDER / name, place.resolve())

    (place / "kustomization.yaml").write_text(yaml.safe_dump({"resources": [there(overlay)],
                                                              "components": [there(component)]}))
    done = subprocess.run(["kubectl", "kustomize", str(place)], capture_output=True, text=True, check=True)
    return list(yaml.safe_load_all(done.stdout))


def of_kind(overlay: str, kind: str) -> dict[str, dict]:
    """Name -> manifest; the training job runs beside the gpu overlay and finds what that has."""
    beside = rendered("overlays/gpu") if overlay == "training" else []
    return {thing["metadata"]["name"]: thing for thing in [*beside, *rendered(overlay)] if thing["kind"] == kind}


def workloads(overlay: str) -> list[tuple[str, dict]]:
    """Name and pod template of everything that runs pods."""
    return [(thing["metadata"]["name"], thing["spec"]["template"]) for thing in rendered(overlay)
            if thing["kind"] in WORKLOADS]


def containers(overlay: str) -> list[tuple[str, dict]]:
    """`pod/container` and the container, of all pods."""
    return [(f"{name}/{one['name']}", one) for name, template in workloads(overlay)
            for one in [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]]


def labels(overlay: str) -> dict[str, dict[str, str]]:
    """Pod -> its labels."""
    return {name: template["metadata"]["labels"] for name, template in workloads(overlay)}


def settings(overlay: str) -> dict[str, str]:
    """The settings that an overlay's pods get from their config map."""
    (found,) = [thing["data"] for name, thing in of_kind(overlay, "ConfigMap").items()
                if name.startswith("relay-settings") and thing in rendered(overlay)]
    return found
