"""Components that an overlay may take in where the cluster has what they need: an autoscaler, an endpoint picker."""

from __future__ import annotations

import re

import pytest

from tests.support.fakes_serving import serving
from tests.support.manifests import NEEDS_KUBECTL, rendered, with_component
from tests.support.places import ROOT

pytestmark = NEEDS_KUBECTL


def named(manifests: list[dict], kind: str, name: str) -> dict:
    (found,) = [one for one in manifests if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


@pytest.mark.parametrize("overlay", ["overlays/pools", "overlays/gpu"])
def test_autoscaler_follows_the_queue_of_the_servers_and_owns_their_number(overlay, tmp_path):
    manifests = with_component(overlay, "autoscaler", tmp_path)
    autoscaler = named(manifests, "HorizontalPodAutoscaler", "relay-server")
    server = named(manifests, "Deployment", "relay-server")
    assert autoscaler["apiVersion"] == "autoscaling/v2"
    assert autoscaler["metadata"]["namespace"] == server["metadata"]["namespace"]
    target = autoscaler["spec"]["scaleTargetRef"]
    assert (target["apiVersion"], target["kind"], target["name"]) == ("apps/v1", "Deployment", "relay-server")
    assert "replicas" not in server["spec"]  # what is applied again must not undo what it did
    before = named(rendered(overlay), "Deployment", "relay-server")["spec"]["replicas"]
    assert before == autoscaler["spec"]["minReplicas"] < autoscaler["spec"]["maxReplicas"]


def test_autoscalers_metric_is_one_that_every_server_tells(tmp_path):
    autoscaler = named(with_component("overlays/pools", "autoscaler", tmp_path), "HorizontalPodAutoscaler",
                       "relay-server")
    [metric] = autoscaler["spec"]["metrics"]
    assert metric["type"] == "Pods"
    with serving() as server:
        assert re.search(rf"^{metric['pods']['metric']['name']}{{", server.client.get("/metrics").text, flags=re.M)
    assert metric["pods"]["metric"]["name"] in (ROOT / "docs/guides/scale.md").read_text()


def test_picker_chooses_among_the_teachers_pods_and_may_reach_them(tmp_path):
    manifests = with_component("overlays/pools", "inference-pool", tmp_path)
    pool = named(manifests, "InferencePool", "relay-teacher")
    pod = named(manifests, "Deployment", "relay-teacher")["spec"]["template"]
    chosen = pool["spec"]["selector"]["matchLabels"]
    assert chosen.items() <= pod["metadata"]["labels"].items()
    ports = {port["number"] for port in pool["spec"]["targetPorts"]}
    assert ports == {port["containerPort"] for port in pod["spec"]["containers"][0]["ports"]}
    policy = named(manifests, "NetworkPolicy", "relay-teacher-pool")["spec"]
    assert policy["podSelector"]["matchLabels"] == chosen
    (rule,) = policy["ingress"]
    assert {port["port"] for port in rule["ports"]} == ports
    picker = pool["spec"]["endpointPickerRef"]["name"]
    assert {"podSelector": {"matchLabels": {"app.kubernetes.io/name": picker}}} in rule["from"]
    [route] = named(manifests, "HTTPRoute", "relay-teacher")["spec"]["rules"]
    assert [(one["group"], one["kind"], one["name"]) for one in route["backendRefs"]] == [
        (pool["apiVersion"].split("/")[0], pool["kind"], pool["metadata"]["name"])]
