"""The monitoring flow against a really served version: it reports, it rolls back, and the server follows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relayllm import RelayDecoder
from relayllm.packaging.write import write_package
from relayllm.problems.problem import Problem, write_problems
from relayllm.problems.prompting import messages
from relayllm.registry.champions import promote
from relayllm.registry.client import Registry
from tests.support.real_packages import varied
from tests.support.serve_process import served, version
from tests.support.small_packages import DECODING, record
from tests.support.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
PROBLEMS = [Problem(f"pens-{index}", f"A shelf holds {index + 2} boxes with 7 pens each. How many?", "no number",
                    "pens") for index in range(10)]


@pytest.fixture
def honest(parts, settings):
    """A package whose record says what its models really answer: nothing right, and so many teacher tokens."""
    decoder = RelayDecoder.from_pretrained(parts.student, parts.teacher)
    traces = decoder.generate([messages(problem) for problem in PROBLEMS], **DECODING)
    said = {problem.id: [0.0, float(trace.ledger.teacher_tokens), float(len(trace.token_ids))]
            for problem, trace in zip(PROBLEMS, traces, strict=True)}
    write_package(replace(parts, record=record(accuracy=0.0, parity=parts.record["parity"]),
                          problem_scores={"pens": said}),
                  settings.root / "honest", settings)
    return settings.root / "honest"


@pytest.fixture
def monitor(settings, monkeypatch):
    """Runs the flow where the registry is; returns the name of the state that it ends in."""
    from prefect.testing.utilities import prefect_test_harness

    from flows.monitor_flow import monitor as flow

    write_problems(settings.root / "data/benchmarks/pens.jsonl", PROBLEMS)
    for name, value in {"RELAY_ROOT": str(settings.root), "MLFLOW_TRACKING_URI": settings.tracking_uri,
                        "MLFLOW_REGISTRY_URI": settings.registry_uri, "RELAY_API_KEY": ""}.items():
        monkeypatch.setenv(name, value)
    with prefect_test_harness(server_startup_timeout=300):
        yield lambda client, act: flow(url=str(client.base_url), problems=10, act=act, seed=0, return_state=True).name


def test_monitor_reports_or_rolls_back_and_the_server_follows(parts, settings, honest, monitor):
    registry = Registry(settings)
    first = promote(registry, registry.register(honest), "the first")
    second = promote(registry, registry.register(varied(parts, settings, "boastful", 10)), "it says that it solves all")
    with served(settings) as client:
        assert version(client) == str(second.number)

        assert monitor(client, "warn") == "Failed"
        assert registry.champion("relay-decoder").number == second.number
        assert "monitor.accuracy" in registry.champion("relay-decoder").tags

        assert monitor(client, "rollback") == "RolledBack"
        assert registry.champion("relay-decoder").number == first.number
        assert registry.find("relay-decoder", second.number).tags["status"] == "rolled back"
        assert eventually(lambda: version(client) == str(first.number))

        assert monitor(client, "rollback") == "Completed"
        assert registry.champion("relay-decoder").number == first.number
