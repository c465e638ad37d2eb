"""The overlays with GPUs: who gets one, the training job, and the pool of students."""

from __future__ import annotations

import yaml

from tests.support.manifests import COMMANDS, DOCKERFILE, NEEDS_KUBECTL, of_kind, rendered, settings, workloads
from tests.support.places import ROOT

pytestmark = NEEDS_KUBECTL


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
