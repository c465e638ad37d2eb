"""`relay plan`, where roll-outs are decoded: rooms by hand, one GPU more where the engine stands apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from relayllm.commands.plan import shapes
from relayllm.commands.plan_rollouts import rollout_engines, rollout_table
from relayllm.commands.plan_work import hours_text
from relayllm.config import load_params
from relayllm.training.memory import GIB, PROMPT_TOKENS

ROOT = Path(__file__).parents[3]


def found(profile, memory, answer=1000):
    params = load_params(ROOT / "params" / f"{profile}.yaml")
    student, teacher = shapes(params)
    return params, student, list(rollout_engines(params, memory, answer, student, teacher))


@pytest.mark.parametrize("memory", [24, 80, 141])
def test_apart_there_is_room_for_more_rows_and_one_gpu_more(memory):
    params, _, (here, beside, apart) = found("qwen3-0.6b", memory)
    assert (here.gpus, beside.gpus, apart.gpus) == (8, 8, 9)
    assert apart.rows >= beside.rows
    assert apart.rows <= params.grpo.problems_per_step * params.grpo.group_size
    assert max(beside.held, apart.held) <= memory


def test_rows_of_a_server_of_its_own_are_those_whose_pages_fit():
    _, student, (_, _, apart) = found("qwen3-0.6b", 16)
    row = student.cache_bytes("bfloat16") * (PROMPT_TOKENS + 1000)
    room = 16 * 0.9 * GIB - 2 * student.parameters
    assert apart.rows == room // row
    assert apart.held == pytest.approx((2 * student.parameters + apart.rows * row) / GIB)


def test_no_room_is_said_and_costs_no_hours():
    _, _, ways = found("qwen3-1.7b", 2)
    assert [way.rows for way in ways] == [0, 0, 0]
    table = list(rollout_table(ways, 1e6, lambda rows: 1000.0 * rows))
    assert all("none fit" in line and line.rstrip().endswith("-") for line in table[1:4])


def test_hours_follow_from_the_speed_at_these_rows():
    _, _, ways = found("qwen3-0.6b", 80)
    table = list(rollout_table(ways, 3.6e9, lambda rows: 1000.0 * rows))
    assert [line.split("~")[1] for line in table[1:4]] == [f"{1000 / way.rows:,.1f}" for way in ways]


def test_hours_of_a_tiny_model_are_not_guessed():
    _, _, ways = found("tiny", 24)
    assert all(line.rstrip().endswith("-") for line in list(rollout_table(ways, 1e6, None))[1:4])


def test_share_of_the_trainers_gpu_leaves_room_for_the_updates():
    _, _, (here, beside, apart) = found("qwen3-0.6b", 80)
    assert here.share == 0.0
    assert apart.share == pytest.approx(0.9)
    assert 0 < beside.share < 0.9
    updates = 80 * (0.9 - beside.share)
    assert updates <= beside.held <= updates + 80 * beside.share
    last = list(rollout_table([here, beside, apart], 1e6, None))[-1]
    assert f"--gpu-memory-utilization {beside.share - 0.005:.2f}." in last


def test_no_share_is_named_where_nothing_fits_beside_the_trainer():
    _, _, ways = found("qwen3-1.7b", 2)
    assert not any("utilization" in line for line in rollout_table(ways, 1e6, None))


@pytest.mark.parametrize(("hours", "measured", "shown"), [
    (1234.56, False, "~1,234.6"), (0.0312, False, "~0.031"), (0.9, True, "0.9"), (None, False, "-")])
def test_few_hours_are_not_shown_as_none(hours, measured, shown):
    assert hours_text(hours, measured=measured) == shown
