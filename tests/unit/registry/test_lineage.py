"""The champions before a champion: small losses, release after release."""

import pytest

from relayllm.packaging.parity import ParityResult
from relayllm.registry.champions import promote, rollback
from relayllm.registry.client import Registry
from relayllm.registry.gates import RegistryConfig
from relayllm.registry.lineage import best_champion, lineage
from relayllm.registry.release import decide, promote_or_hold
from tests.support.small_packages import hollow_package

FINE = ParityResult(1, 1, 0.1)
CONFIG = RegistryConfig.model_validate({
    "comparison": {"bootstrap": 200, "confidence": 0.95, "seed": 0},
    "gates": {"accuracy": {"max_drop": 0.35}, "floor": {"min_accuracy": 0.1, "above_student": 0.0},
              "call_ratio": {"low": 0.0, "high": 1.0}, "parity": {"prompts": 1, "min_share": 1.0},
              "latency": {"prompts": 1, "max_seconds": 9}},
    "monitor": {"problems": 1, "confidence": 0.95, "max_drop": 0.1, "max_call_ratio_change": 0.1,
                "max_degraded_share": 0.1, "act": "warn"}})


@pytest.fixture
def release(settings, name, tmp_path):
    """Registers a version that solves so many of twenty problems, judges it, and promotes or holds it."""
    registry = Registry(settings)

    def act(right, **more):
        folder = hollow_package(tmp_path / f"p{right}-{len(registry.versions(name))}", right, count=20,
                                registered_name=name, **more)
        decision = decide(registry, registry.register(folder), CONFIG, FINE)
        return decision, promote_or_hold(registry, decision)

    return registry, act


def failed(decision):
    return [gate.name for gate in decision.gates if not gate.passed]


def test_release_first_version_that_solves_nothing_is_held(release):
    registry, act = release
    decision, version = act(0)
    assert failed(decision) == ["floor"]
    assert version.aliases == ("candidate",)
    assert registry.champion(version.name) is None


def test_release_tells_on_the_version_what_its_answers_cost(release, store):
    paid = {"currency": "EUR", "answers": 1000, "cost": 0.0127, "of_teacher": 0.05}
    _, version = release[1](10, cost=paid)
    described = store.get_model_version(version.name, str(version.number)).description
    assert "price: 0.0127 EUR per 1,000 answers, 5.0 % of the teacher alone" in described
    assert {metric.key: metric.value for metric in store.get_logged_model(version.model_id).metrics}["cost"] == 0.0127


def test_release_version_no_better_than_the_student_alone_is_held(release):
    decision, version = release[1](10, others={"base": {"accuracy": 0.5}})
    assert failed(decision) == ["floor"]
    assert "student alone" in decision.reason
    assert "champion" not in version.aliases


def test_release_small_losses_one_after_another_are_seen(release):
    _, act = release
    fates = [(failed(decision), version.aliases) for decision, version in (act(right) for right in (19, 17, 15, 13))]
    assert fates == [([], ("champion",)), ([], ("champion",)), ([], ("champion",)), (["best_accuracy"], ("candidate",))]


def test_lineage_ends_where_somebody_promoted_by_force(release):
    registry, act = release
    act(19)
    _, second = act(9)
    assert second.aliases == ("candidate",)
    second = promote(registry, second, "forced: it is cheaper")
    assert [one.number for one in lineage(registry, second)] == [2]
    decision, third = act(8)
    assert failed(decision) == []
    assert best_champion(registry, third).number == 2


def test_lineage_ends_before_other_data(release):
    registry, act = release
    act(19)
    _, second = act(18, data_md5="f" * 32)
    assert [one.number for one in lineage(registry, second)] == [2]


def test_lineage_leaves_out_what_was_rolled_back_and_what_was_deleted(release, store):
    registry, act = release
    act(17)
    act(19)
    _, third = act(18)
    rollback(registry, third.name, "it was slow")
    _, fourth = act(18, seed=1)
    assert [one.number for one in lineage(registry, fourth)] == [4, 2, 1]
    store.delete_model_version(fourth.name, "2")
    assert [one.number for one in lineage(registry, fourth)] == [4]
