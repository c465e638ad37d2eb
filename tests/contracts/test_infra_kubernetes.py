"""The Kubernetes manifests, held against the API's own schema: pods, images, secrets, volumes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tomllib
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.support.manifests import (
    CLUSTERS,
    COMMANDS,
    DOCKERFILE,
    FOLDER,
    NEEDS_KUBECTL,
    RENDERED,
    containers,
    of_kind,
    rendered,
    settings,
    workloads,
)
from tests.support.places import ROOT

pytestmark = NEEDS_KUBECTL
SCHEMA = json.loads((Path(__file__).parent / "schemas" / "kubernetes.json").read_text())


@pytest.mark.parametrize("overlay", RENDERED)
def test_manifests_fit_the_schema_of_the_api(overlay):
    for thing in rendered(overlay):
        schema = {"$ref": f"#/definitions/{SCHEMA['kinds'][thing['kind']]}", "definitions": SCHEMA["definitions"]}
        faults = [f"{thing['kind']} {thing['metadata']['name']}: {fault.json_path}: {fault.message[:200]}"
                  for fault in jsonschema.Draft7Validator(schema).iter_errors(thing)]
        assert not faults, faults


@pytest.mark.parametrize("overlay", RENDERED)
def test_everything_lives_in_one_namespace(overlay):
    assert {thing["metadata"].get("namespace", "relayllm") for thing in rendered(overlay)} == {"relayllm"}


@pytest.mark.parametrize("overlay", RENDERED)
def test_pods_run_without_rights_they_do_not_need(overlay):
    """What the `restricted` profile of pod security asks for, and no token of the cluster's API."""
    for name, template in workloads(overlay):
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] != 0, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["enableServiceLinks"] is False, name
        kinds = {kind for volume in spec.get("volumes", []) for kind in volume if kind != "name"}
        assert kinds <= {"configMap", "emptyDir", "persistentVolumeClaim"}, name
    for name, one in containers(overlay):
        assert one["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}, name


@pytest.mark.parametrize("overlay", RENDERED)
def test_containers_say_what_they_need_and_images_are_pinned(overlay):
    for name, one in containers(overlay):
        assert {"cpu", "memory", "ephemeral-storage"} <= set(one["resources"]["requests"]), name
        assert {"memory", "ephemeral-storage"} <= set(one["resources"]["limits"]), name
        assert re.fullmatch(r"[a-z0-9./-]+:v?\d[a-z0-9.-]+", one["image"]), name


def gibibytes(amount: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", amount).groups()
    return int(number) / (1024 if unit == "Mi" else 1)


@pytest.mark.parametrize("overlay", RENDERED)
def test_folders_of_a_pod_are_bounded_and_fit_its_limit(overlay):
    for name, template in workloads(overlay):
        sizes = {volume["name"]: volume["emptyDir"] for volume in template["spec"].get("volumes", [])
                 if "emptyDir" in volume}
        assert all("sizeLimit" in folder for folder in sizes.values()), name
        on_disk = sum(gibibytes(folder["sizeLimit"]) for folder in sizes.values() if "medium" not in folder)
        limit = max(gibibytes(one["resources"]["limits"]["ephemeral-storage"])
                    for one in template["spec"]["containers"])
        assert on_disk < limit, name


@pytest.mark.parametrize("overlay", RENDERED)
def test_secrets_are_references(overlay):
    assert "Secret" not in {thing["kind"] for thing in rendered(overlay)}
    for name, one in containers(overlay):
        for variable in one.get("env", []):
            if re.search(r"PASSWORD|API_KEY|AUTH_STRING|TOKEN|SECRET|ACCESS_KEY", variable["name"]):
                assert "secretKeyRef" in variable["valueFrom"], (name, variable["name"])


def referenced(optional: bool) -> set[str]:
    """Keys of the secret that pods ask for."""
    asked = [variable["valueFrom"]["secretKeyRef"] for overlay in RENDERED for _, one in containers(overlay)
             for variable in one.get("env", []) if "valueFrom" in variable]
    assert {key["name"] for key in asked} == {"relay-secrets"}
    return {key["key"] for key in asked if key.get("optional", False) == optional}


def test_example_of_the_secret_has_every_key_and_makes_one(tmp_path):
    example = (FOLDER / "secrets.env.example").read_text()
    assert set(re.findall(r"^(\w+)=$", example, flags=re.M)) == referenced(optional=False)
    assert set(re.findall(r"^#(\w+)=$", example, flags=re.M)) == referenced(optional=True)
    (tmp_path / "secrets.env").write_text(re.sub(r"^#?(\w+)=$", r"\1=filled", example, flags=re.M))
    (line,) = re.findall(r"^#\s+kubectl (.*)$", example, flags=re.M)
    words = line.replace("infra/kubernetes", str(tmp_path)).split()
    made = subprocess.run(["kubectl", *words, "--dry-run=client", "--output=yaml"], capture_output=True, text=True,
                          env={**os.environ, "KUBECONFIG": os.devnull}, check=True)
    assert set(yaml.safe_load(made.stdout)["data"]) == referenced(optional=False) | referenced(optional=True)
    for ignoring in (".gitignore", ".dockerignore"):
        lines = [*(ROOT / ignoring).read_text().split(), *(FOLDER / ".gitignore").read_text().split()]
        assert {"infra/kubernetes/secrets.env", "/secrets.env"} & set(lines), ignoring


@pytest.mark.parametrize("overlay", RENDERED)
def test_pods_find_their_account_config_and_claims(overlay):
    maps, claims = of_kind(overlay, "ConfigMap"), of_kind(overlay, "PersistentVolumeClaim")
    for name, template in workloads(overlay):
        assert template["spec"]["serviceAccountName"] in of_kind(overlay, "ServiceAccount"), name
        for volume in template["spec"].get("volumes", []):
            assert volume.get("configMap", {}).get("name") in {None, *maps}, name
            assert volume.get("persistentVolumeClaim", {}).get("claimName") in {None, *claims}, name
    for name, one in containers(overlay):
        assert all(source["configMapRef"]["name"] in maps for source in one.get("envFrom", [])), name


@pytest.mark.parametrize("overlay", RENDERED)
def test_mounts_name_volumes_of_the_pod(overlay):
    for name, template in workloads(overlay):
        claimed = [one["metadata"]["name"] for thing in rendered(overlay) if thing["metadata"]["name"] == name
                   for one in thing["spec"].get("volumeClaimTemplates", [])]
        there = {volume["name"] for volume in template["spec"].get("volumes", [])} | set(claimed)
        spec = template["spec"]
        used = {mount["name"] for one in [*spec.get("initContainers", []), *spec["containers"]]
                for mount in one.get("volumeMounts", [])}
        assert used == there, name


@pytest.mark.parametrize("overlay", RENDERED)
def test_only_weights_and_a_folder_of_many_workers_are_shared_between_nodes(overlay):
    """A claim for one node belongs to one pod at a time: the old one goes before the new one comes."""
    shared = {name for name, claim in of_kind(overlay, "PersistentVolumeClaim").items()
              if "ReadWriteMany" in claim["spec"]["accessModes"]}
    assert shared == {"overlays/cpu": set(), "overlays/gpu-workers": {"relay-models", "relay-project"}}.get(
        overlay, {"relay-models"})
    for thing in rendered(overlay):
        volumes = thing["spec"]["template"]["spec"].get("volumes", []) if thing["kind"] == "Deployment" else []
        if {volume["persistentVolumeClaim"]["claimName"] for volume in volumes
                if "persistentVolumeClaim" in volume} - shared:
            assert (thing["spec"]["strategy"]["type"], thing["spec"]["replicas"]) in {
                ("Recreate", 0), ("Recreate", 1)}, thing["metadata"]["name"]


@pytest.mark.parametrize("overlay", CLUSTERS)
def test_what_stays_is_probed_with_patience(overlay):
    for name, template in workloads(overlay):
        for one in template["spec"]["containers"]:
            probes = {kind: one[kind] for kind in ("startupProbe", "livenessProbe")}
            # a second, the default, is less than a busy process may take
            assert all(probe["timeoutSeconds"] >= 5 for probe in probes.values()), name
            assert probes["livenessProbe"]["failureThreshold"] >= 3, name


def test_commands_are_those_of_the_compose_file():
    services = yaml.safe_load((ROOT / "infra/compose/compose.yaml").read_text())["services"]
    here = {name.split("/")[1]: one for name, one in containers("overlays/cpu")}
    for name in ("deployments", "worker"):
        assert here[name]["command"] == services[name]["command"]
    assert here["champion"]["command"] + here["server"]["command"] == services["relay"]["command"]
    assert here["teacher"]["command"] == services["teacher"]["entrypoint"]
    flags = [word.split("=")[0] for word in here["teacher"]["args"] if word.startswith("--")]
    assert flags == [word.split("=")[0] for word in services["teacher"]["command"] if word.startswith("--")]
    [pool] = [one for name, one in containers("overlays/pools") if name == "relay-student/student"]
    assert (pool["command"], pool["args"]) == (services["student-0"]["entrypoint"], [
        word.replace("${TEACHER_CONTEXT:-10240}", "10240") for word in services["student-0"]["command"]])
    assert here["postgres"]["startupProbe"]["exec"]["command"] == services["postgres"]["healthcheck"]["test"][1:]
    assert here["postgres"]["image"] == services["postgres"]["image"]
    copy = FOLDER / "platform/databases.sql"  # kustomize reads nothing outside its folder
    assert copy.read_text() == (ROOT / "infra/compose/databases.sql").read_text()


@pytest.mark.parametrize("overlay", RENDERED)
def test_commands_of_ours_are_in_the_image(overlay):
    for name, one in containers(overlay):
        if "relayllm/relay" in one["image"]:
            command = one["command"][0]
            assert command in {"relay", "prefect"} or os.access(COMMANDS[command], os.X_OK), name


@pytest.mark.parametrize(("overlay", "pod", "before"), [
    ("base", "relay-worker", ["checkout", "deployments"]), ("training", "relay-training", ["checkout"]),
    ("base", "relay-server", ["champion"])])
def test_pods_prepare_before_they_work(overlay, pod, before):
    (template,) = [template for name, template in workloads(overlay) if name == pod]
    assert [one["name"] for one in template["spec"]["initContainers"]] == before
    first = template["spec"]["initContainers"][0]
    if before[0] == "checkout":
        mounts = {mount["mountPath"]: mount["name"] for mount in first["volumeMounts"]}
        work = {mount["mountPath"]: mount["name"] for mount in template["spec"]["containers"][0]["volumeMounts"]}
        assert mounts["/project"] == work["/project"]
        assert settings("overlays/gpu")["RELAY_ROOT"] == "/project"


@pytest.mark.parametrize("overlay", RENDERED)
def test_whoever_fetches_from_the_hub_has_its_token(overlay):
    given = {name: {variable["name"]: variable.get("valueFrom") for variable in one.get("env", [])}
             for name, one in containers(overlay)}
    fetching = {name: variables for name, variables in given.items() if "HF_HOME" in variables}
    assert fetching
    for name, variables in fetching.items():
        key = variables["HF_TOKEN"]["secretKeyRef"]
        assert key == {"name": "relay-secrets", "key": "HF_TOKEN", "optional": True}, name


def test_server_keeps_what_it_fetches_in_a_bounded_folder():
    from relayllm.settings import current_settings as of_the_process

    assert replace(of_the_process(), root=Path(settings("base")["RELAY_ROOT"])).store == Path("/project/.store")
    (server,) = [one for name, one in containers("base") if name == "relay-server/server"]
    mounts = {mount["mountPath"] for mount in server["volumeMounts"]}
    assert mounts == {"/project/.store", "/tmp"}
    given = {variable["name"]: variable.get("value") for variable in server["env"]}
    assert given["HF_HOME"].startswith("/project/.store/")


def test_examples_stand_in_one_file_and_the_guide_explains_each():
    with_examples = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file()
                     and "example.com" in path.read_text()}
    assert with_examples == {"site/kustomization.yaml"}
    guide = (ROOT / "docs/guides/team.md").read_text()
    site = (FOLDER / "site/kustomization.yaml").read_text()
    for name in re.findall(r"- (RELAY_\w+|MLFLOW_\w+|PREFECT_\w+)=", site):
        assert f"`{name}`" in guide, name
    assert "registry.example.com" in guide


@pytest.mark.parametrize("overlay", [*CLUSTERS, "training"])
def test_no_image_of_ours_is_pulled_from_a_public_name(overlay):
    for name, one in containers(overlay):
        public = one["image"].startswith(("vllm/vllm-openai:", "postgres:"))
        assert public or one["image"].startswith("registry.example.com/relayllm/"), name


def test_images_carry_the_projects_version_and_targets_that_exist():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    targets = set(re.findall(r"^FROM \S+ AS (\S+)", DOCKERFILE, flags=re.M))
    for overlay in [*CLUSTERS, "training"]:
        for name, one in containers(overlay):
            if "relayllm/" in one["image"]:
                target, tag = one["image"].rsplit("/", 1)[1].split(":")
                assert target in targets, name
                assert tag.removesuffix("-cuda") == version, name
