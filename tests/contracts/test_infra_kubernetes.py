"""The Kubernetes manifests, rendered by kustomize and held against the API's own schema."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "infra" / "kubernetes"
SCHEMA = json.loads((Path(__file__).parent / "schemas" / "kubernetes.json").read_text())
CLUSTERS = ["overlays/cpu", "overlays/gpu", "overlays/gpu-workers", "overlays/pools"]
RENDERED = ["base", *CLUSTERS, "training"]
WORKLOADS = {"Deployment", "Job", "StatefulSet"}
DOCKERFILE = (ROOT / "infra/images/relay.Dockerfile").read_text()
COMMANDS = {name: ROOT / source for source, name in
            re.findall(r"^COPY --chmod=755 (\S+) /usr/local/bin/(\S+)$", DOCKERFILE, flags=re.M)}
"""Commands of ours in the images, and the scripts they are."""

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl for `kubectl kustomize`")


@cache
def rendered(overlay: str) -> list[dict]:
    done = subprocess.run(["kubectl", "kustomize", str(FOLDER / overlay)], capture_output=True, text=True, check=True)
    return list(yaml.safe_load_all(done.stdout))


def of_kind(overlay: str, kind: str) -> dict[str, dict]:
    """Name -> manifest; the training job runs beside the gpu overlay and finds what that has."""
    beside = rendered("overlays/gpu") if overlay == "training" else []
    return {thing["metadata"]["name"]: thing for thing in [*beside, *rendered(overlay)] if thing["kind"] == kind}


def workloads(overlay: str) -> list[tuple[str, dict]]:
    return [(thing["metadata"]["name"], thing["spec"]["template"]) for thing in rendered(overlay)
            if thing["kind"] in WORKLOADS]


def containers(overlay: str) -> list[tuple[str, dict]]:
    return [(f"{name}/{one['name']}", one) for name, template in workloads(overlay)
            for one in [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]]


def labels(overlay: str) -> dict[str, dict[str, str]]:
    return {name: template["metadata"]["labels"] for name, template in workloads(overlay)}


def settings(overlay: str) -> dict[str, str]:
    (found,) = [thing["data"] for name, thing in of_kind(overlay, "ConfigMap").items()
                if name.startswith("relay-settings") and thing in rendered(overlay)]
    return found


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
def test_services_select_pods_and_name_their_ports(overlay):
    pods = {name: template["spec"]["containers"][0] for name, template in workloads(overlay)}
    for name, service in of_kind(overlay, "Service").items():
        chosen = [pod for pod, given in labels(overlay).items() if service["spec"]["selector"].items() <= given.items()]
        assert chosen == [name]
        assert {port["targetPort"] for port in service["spec"]["ports"]} == {
            port["name"] for port in pods[name]["ports"]}, name
        assert "readinessProbe" in pods[name], name


def matches(selector: dict[str, Any], given: dict[str, str]) -> bool:
    expressions = selector.get("matchExpressions", [])
    assert all(one["operator"] == "In" for one in expressions)
    return (selector.get("matchLabels", {}).items() <= given.items()
            and all(given.get(one["key"]) in one["values"] for one in expressions))


def admits(overlay: str, caller: dict[str, str], target: dict[str, str], port: int) -> bool:
    """Whether some policy lets this pod of the namespace reach that one."""
    rules = [rule for policy in of_kind(overlay, "NetworkPolicy").values()
             if matches(policy["spec"]["podSelector"], target) for rule in policy["spec"].get("ingress", [])]
    return any(matches(source["podSelector"], caller) for rule in rules for source in rule["from"]
               if "podSelector" in source and any(open_["port"] == port for open_ in rule["ports"]))


@pytest.mark.parametrize("overlay", CLUSTERS)
def test_network_is_closed_to_all_and_open_to_who_has_the_address(overlay):
    policies = of_kind(overlay, "NetworkPolicy")
    assert policies["default-deny"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress"]}
    pods = {**labels(overlay), **labels("training")}
    services = of_kind(overlay, "Service")
    uses = {name: {urlsplit(value).hostname for value in _addresses(overlay, name)} & set(services) for name in pods}
    assert uses["relay-worker"] >= {"mlflow", "prefect", "relay-server"}
    for caller, given in pods.items():
        for service in services:
            ports = {one["containerPort"] for name, pod in workloads(overlay) if name == service
                     for one in pod["spec"]["containers"][0]["ports"]}
            for port in ports:
                if service in uses[caller]:
                    assert admits(overlay, given, pods[service], port), (caller, service)
                elif service == "postgres":
                    assert not admits(overlay, given, pods[service], port), (caller, service)


def _addresses(overlay: str, pod: str) -> set[str]:
    """Addresses that a pod's containers are told and need: the server asks no Prefect, the teacher asks nobody."""
    told = {"relay-worker": {"MLFLOW_TRACKING_URI", "PREFECT_API_URL", "RELAY_TEACHER_URL", "RELAY_SERVER_URL"},
            "relay-gpu-worker": {"MLFLOW_TRACKING_URI", "PREFECT_API_URL", "RELAY_TEACHER_URL"},
            "relay-student": {"MLFLOW_TRACKING_URI"},
            "relay-server": {"MLFLOW_TRACKING_URI", "RELAY_TEACHER_URL"},
            "relay-training": {"MLFLOW_TRACKING_URI", "RELAY_TEACHER_URL"}}.get(pod, set())
    given = {value for name, value in settings(overlay).items() if name in told and value}
    return given | {variable["value"] for name, one in containers(overlay) if name.startswith(f"{pod}/")
                    for variable in one.get("env", []) if "@postgres" in variable.get("value", "")}


def test_server_is_open_to_namespaces_that_are_let_in():
    (rule,) = of_kind("base", "NetworkPolicy")["relay-server"]["spec"]["ingress"]
    assert {"namespaceSelector": {"matchLabels": {"relayllm/client": "true"}}} in rule["from"]


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


def test_server_keeps_what_it_fetches_in_a_bounded_folder():
    from relayllm.settings import current_settings as of_the_process

    assert replace(of_the_process(), root=Path(settings("base")["RELAY_ROOT"])).store == Path("/project/.store")
    (server,) = [one for name, one in containers("base") if name == "relay-server/server"]
    mounts = {mount["mountPath"] for mount in server["volumeMounts"]}
    assert mounts == {"/project/.store", "/tmp"}
    given = {variable["name"]: variable.get("value") for variable in server["env"]}
    assert given["HF_HOME"].startswith("/project/.store/")


def test_gpu_overlay_gives_a_gpu_to_whoever_decodes():
    for name, template in workloads("overlays/gpu"):
        limits = template["spec"]["containers"][0]["resources"]["limits"]
        assert limits.get("nvidia.com/gpu") == ("1" if name.startswith("relay-") else None), name


def test_gpu_workers_poll_the_pool_of_their_role_in_the_folder_of_the_worker_that_sends_them_stages():
    pods = {name: template["spec"] for name, template in workloads("overlays/gpu-workers")}
    worker, helper = (pods[name]["containers"][0] for name in ("relay-worker", "relay-gpu-worker"))
    pools = {one["name"]: one["work_pool"]["name"]
             for one in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]}
    roles = {variable["name"]: variable.get("value") for variable in worker["env"]}["RELAY_ROLES"].split()
    assert [helper["command"][helper["command"].index("--pool") + 1]] == [pools[role] for role in roles]
    assert helper["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "nvidia.com/gpu" not in worker["resources"]["limits"]
    assert "tolerations" not in pods["relay-worker"]
    folders = [next(volume for volume in pods[name]["volumes"] if volume["name"] == "project")
               for name in ("relay-worker", "relay-gpu-worker")]
    assert folders[0] == folders[1]
    keys = [{variable["name"] for variable in one["env"]} for one in (worker, helper)]
    assert {"MLFLOW_TRACKING_PASSWORD", "PREFECT_API_AUTH_STRING", "RELAY_TEACHER_API_KEY"} <= keys[0] & keys[1]


def test_training_job_has_a_gpu_per_process_and_runs_stages_that_exist():
    ((_, template),) = workloads("training")
    gpus = int(template["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"])
    params = yaml.safe_load((ROOT / "params/qwen3-1.7b.yaml").read_text())
    assert gpus == params["warmup"]["processes"] == params["grpo"]["processes"]
    stages = next(variable["value"] for variable in template["spec"]["containers"][0]["env"]
                  if variable["name"] == "RELAY_STAGES")
    assert set(stages.split()) <= set(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])


def test_training_job_gives_up_on_what_no_retry_heals_and_forgives_evictions():
    (job,) = [thing for thing in rendered("training") if thing["kind"] == "Job"]
    rules = job["spec"]["podFailurePolicy"]["rules"]
    fatal = {rule["onExitCodes"]["containerName"]: rule["onExitCodes"]["values"] for rule in rules
             if rule["action"] == "FailJob"}
    assert fatal == {"checkout": [64], "training": [64]}
    for command in ("checkout", "train"):
        assert "exit 64" in COMMANDS[command].read_text()
    assert [rule["onPodConditions"][0]["type"] for rule in rules if rule["action"] == "Ignore"] == ["DisruptionTarget"]
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"  # podFailurePolicy asks for it


def test_training_job_reads_what_the_gpu_overlay_reads():
    assert settings("training") == settings("overlays/gpu")


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


def test_gateway_names_every_pod_of_the_students_pool():
    pool = of_kind("overlays/pools", "StatefulSet")["relay-student"]["spec"]
    service = of_kind("overlays/pools", "Service")[pool["serviceName"]]
    command = of_kind("overlays/pools", "Deployment")["relay-server"]["spec"]["template"]["spec"]["containers"][0][
        "command"]
    named = [command[place + 1] for place, word in enumerate(command) if word == "--student"]
    assert service["spec"]["clusterIP"] == "None"
    assert named == [f"http://relay-student-{index}.relay-student:8000" for index in range(pool["replicas"])]


def test_students_pool_has_what_its_handshake_asks_for():
    [student] = of_kind("overlays/pools", "StatefulSet")["relay-student"]["spec"]["template"]["spec"]["containers"]
    assert {"--enable-prefix-caching", "--enable-prompt-tokens-details", "--logprobs-mode=processed_logprobs"} <= set(
        student["args"])
    assert "infra/vllm" in DOCKERFILE.split("AS student-cpu")[1]

