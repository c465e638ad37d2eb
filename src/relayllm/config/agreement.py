"""What sections of `params.yaml` ask of each other: said when the file is read, and not after hours of training."""

from __future__ import annotations

from collections.abc import Iterator

from relayllm.config.method_names import follows_the_relay, is_drawn_from_records, is_method, is_trained, no_method
from relayllm.config.params import Params

SHORTEST_CALL = 4
"""Tokens of `<call>`, a digit, `</call>` and one token of help."""


def disagreements(params: Params) -> list[str]:
    """What cannot go together, each with the key to change."""
    return [*_runs(params), *_methods(params), *_package(params), *_batches(params), *_lengths(params)]


def _runs(params: Params) -> Iterator[str]:
    runs, relay = params.grpo.runs, params.evaluate.relay
    if relay not in runs:
        yield f"evaluate.relay is {relay!r}, grpo.runs has {', '.join(runs)}: name one of them"
    taken = [name for name in runs if not is_trained(name)]
    if taken:
        yield f"grpo.runs has {', '.join(taken)}, which is the name of another method: give the run another name"


def _methods(params: Params) -> Iterator[str]:
    config, runs, teachers = params.evaluate, [*params.grpo.runs], [*params.base_models.other_teachers]
    names = config.methods
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"evaluate.methods has {name} twice: remove one"
    for name in dict.fromkeys(names):
        needed = [config.relay] if follows_the_relay(name) else []
        needed += ["base", "teacher"] if is_drawn_from_records(name) else []
        missing = [each for each in needed if each not in names]
        if not is_method(name, runs, teachers):
            yield f"evaluate.methods: {no_method(name, runs, teachers)}"
        elif missing:
            yield (f"evaluate.methods has {name}, which is held against {', '.join(missing)}: add "
                   f"{'it' if len(missing) == 1 else 'them'} to evaluate.methods")


def _package(params: Params) -> Iterator[str]:
    method, teacher = params.package.method, params.base_models.teacher
    for place, names in (("grpo.runs", [*params.grpo.runs]), ("evaluate.methods", params.evaluate.methods)):
        if method not in names:
            yield f"package.method is {method!r}, {place} has {', '.join(names)}: add it there, or package another run"
    if params.package.teacher == "hub" and teacher.kind != "hub":
        yield (f"package.teacher is 'hub', but base_models.teacher is of kind {teacher.kind!r}, which is on no hub: "
               "write 'embedded'")


def _batches(params: Params) -> Iterator[str]:
    warmup, grpo = params.warmup, params.grpo
    if warmup.batch_size % (warmup.processes * warmup.micro_batch_size):
        yield (f"warmup: a batch of {warmup.batch_size} does not divide into {warmup.processes} processes x "
               f"{warmup.micro_batch_size} rows: change batch_size or micro_batch_size")
    roll_outs = grpo.problems_per_step * grpo.group_size
    if roll_outs % (grpo.mini_batches * grpo.processes * grpo.micro_batch_size):
        yield (f"grpo: {roll_outs} roll-outs do not divide into {grpo.mini_batches} mini-batches x {grpo.processes} "
               f"processes x {grpo.micro_batch_size} at once: change problems_per_step, group_size, mini_batches or "
               "micro_batch_size")
    if grpo.decoding.temperature == 0:
        yield "grpo.decoding.temperature is 0: all roll-outs of a problem would be alike; write 1.0"
    most = min(params.ingest.train_problems, params.filter.problems)
    if most < grpo.evaluate_problems + grpo.problems_per_step:
        yield (f"grpo holds out {grpo.evaluate_problems} problems (evaluate_problems) and trains on "
               f"{grpo.problems_per_step} a step, ingest.train_problems and filter.problems leave at most {most}: "
               "change one of them")


def _lengths(params: Params) -> Iterator[str]:
    calling = {"grpo": max(run.max_calls for run in params.grpo.runs.values()),
               "evaluate": params.evaluate.decoding.max_calls, "package": params.package.decoding.max_calls}
    for name, calls in calling.items():
        room = params.section(name).decoding.max_new_tokens  # type: ignore[attr-defined]
        if calls and room < SHORTEST_CALL:
            yield (f"{name}.decoding.max_new_tokens is {room}, too few for the shortest call with its help "
                   f"({SHORTEST_CALL}): write more, or set max_calls to 0")
