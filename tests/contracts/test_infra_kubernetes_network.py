"""Services and network policies of the Kubernetes manifests: closed to all, open to who has the address."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.manifests import CLUSTERS, NEEDS_KUBECTL, containers, labels, of_kind, settings, workloads

pytestmark = NEEDS_KUBECTL


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
