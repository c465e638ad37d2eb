"""The settings of GRPO that TRL's trainer gets."""

from __future__ import annotations

import warnings

import pytest

from relayllm.config import load_params
from relayllm.errors import ConfigError
from relayllm.training.grpo import arguments
from tests.support.grpo_process import CHANGES
from tests.support.places import ROOT


def test_roll_outs_that_do_not_divide_are_refused(tmp_path):
    config = load_params(ROOT / "params/smoke.yaml").grpo
    for wrong in ({"mini_batches": 3}, {"micro_batch_size": 3}, {"mini_batches": 1000}):
        with pytest.raises(ConfigError, match="do not divide"):
            arguments(config.model_copy(update=CHANGES | wrong), tmp_path)


def test_arguments_have_no_name_that_transformers_gives_up(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        arguments(load_params(ROOT / "params/smoke.yaml").grpo, tmp_path)
