"""Training the tiny world's models: when it may end."""

from __future__ import annotations

import pytest
import yaml

from relayllm.config import TinyModel
from relayllm.problems.tiny_world.tokenizer import build_tokenizer
from relayllm.training.tiny_world import trainer
from tests.support.places import ROOT

TOKENIZER = build_tokenizer()


def shape(**changes) -> TinyModel:
    """The smoke profile's student, changed."""
    values = yaml.safe_load((ROOT / "params/smoke.yaml").read_text(encoding="utf-8"))["base_models"]["student"]
    return TinyModel(**values | {"steps": 2} | changes)


@pytest.mark.slow
@pytest.mark.parametrize(("good_enough", "rounds"), [(0.0, 1), (1.0, 3)])
def test_training_goes_on_until_it_is_good_or_out_of_rounds(good_enough, rounds):
    lines: list[str] = []
    trainer.train(shape(rounds=3, good_enough=good_enough), TOKENIZER, lines.append)
    assert sum(line.startswith("round ") for line in lines) == min(rounds, 3)
    assert any(line.startswith(f"step {2 * rounds}/6") for line in lines)
    assert not any(line.startswith(f"step {2 * rounds + 1}/6") for line in lines)


def test_one_round_is_trained_without_being_asked_how_good_it_is(monkeypatch):
    monkeypatch.setattr(trainer, "solved", None)
    trainer.train(shape(rounds=1, good_enough=1.0), TOKENIZER, lambda line: None)
