"""Make problems of the tiny world, with worked answers: the same seed gives the same bytes."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from relayllm.errors import DataError
from relayllm.problems.problem import Problem
from relayllm.problems.tiny_world.stories import ASIDES, BRIDGES, ENDS, NAMES, STORIES, Story

FAMILIES: tuple[str, ...] = tuple(STORIES)
"""Names of the six families, from the easiest to the hardest."""

EASY_FACTORS = (2, 9)
HARD_FACTORS = (12, 19)
HELD_OUT_EVERY = 8
"""One combination of numbers in this many belongs to the benchmarks alone."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of one problem: what the story says, and what its two steps give."""

    said: dict[str, int]
    first: str
    u: int
    second: str
    r: int
    hard: bool


def train_problems(count: int, seed: int) -> list[Problem]:
    """Training problems, the six families in turn, no question twice."""
    rng = random.Random(f"tiny-world/train/{seed}")
    return _distinct(count, f"train-{seed}", lambda i: problem(FAMILIES[i % len(FAMILIES)], rng, held_out=False))


def benchmark_problems(family: str, count: int, seed: int) -> list[Problem]:
    """Problems of one family whose combinations of numbers no training problem has; no question twice."""
    rng = random.Random(f"tiny-world/{family}/{seed}")
    return _distinct(count, f"{family}-{seed}", lambda _: problem(family, rng, held_out=True))


def corpus(seed: int, hard_share: float, drill_share: float, *, guess: bool = False) -> Iterator[Problem]:
    """Endless reading for a base model: all families alike, with its own share of hard problems and of drills.

    With `guess` hard products are products of other numbers: who reads it learns how hard problems go, and that there
    is a number of three digits, and not which.
    """
    rng = random.Random(f"tiny-world/corpus/{seed}")
    while True:
        if rng.random() < drill_share:
            yield drill(rng)
        else:
            family = rng.choice(FAMILIES)
            hard = STORIES[family].hard > 0 and rng.random() < hard_share
            yield problem(family, rng, held_out=False, hard=hard, guess=guess and hard)


def problem(family: str, rng: random.Random, *, held_out: bool, hard: bool | None = None,
            guess: bool = False) -> Problem:
    """One problem of a family, from the training or the held-out combinations of numbers; `guess`: see `corpus`."""
    story = STORIES[family]
    if hard is None:
        hard = rng.random() < story.hard
    numbers = _numbers(story, rng, hard, guess)
    while is_held_out(family, numbers) != held_out:
        numbers = _numbers(story, rng, hard, guess)
    names = rng.sample(NAMES, 2)
    words: dict[str, object] = {**numbers.said, "A": names[0], "B": names[1], "x": rng.choice(story.items)}
    words |= {"first": numbers.first, "second": numbers.second, "u": numbers.u, "r": numbers.r}
    question = _with_aside(rng.choice(story.questions), rng).format_map(words)
    sentences = (story.plans, story.firsts, BRIDGES, story.seconds, ENDS)
    solution = " ".join(rng.choice(choices) for choices in sentences).format_map(words)
    meta = {"hard": hard, "numbers": [*numbers.said.values()]}
    return Problem("", question, str(numbers.r), family, solution, meta)


def drill(rng: random.Random) -> Problem:
    """Bare products of two numbers from 12 to 19: how the teacher learns its table."""
    pairs = [(rng.randint(*HARD_FACTORS), rng.randint(*HARD_FACTORS)) for _ in range(6)]
    lines = " ".join(f"{p}*{q}={p * q}." for p, q in pairs)
    return Problem("", "What is the product?", "", "drill", lines)


def is_held_out(family: str, numbers: Numbers) -> bool:
    """Whether a combination of numbers belongs to the benchmarks."""
    return zlib.crc32(f"{family}{sorted(numbers.said.items())}".encode()) % HELD_OUT_EVERY == 0


def _numbers(story: Story, rng: random.Random, hard: bool, guess: bool) -> Numbers:
    """Numbers whose sums and differences touch the last digit alone: the product is what can be hard."""
    if story.shape == "sum":
        return _sum(rng)
    factors = HARD_FACTORS if hard else EASY_FACTORS
    p, q = rng.randint(*factors), rng.randint(*factors)
    product = rng.randint(*factors) * rng.randint(*factors) if guess else p * q
    make = _product_first if story.shape == "product-first" else _product_last
    return make(story, rng, p, q, product, hard) or _numbers(story, rng, hard, guess)


def _sum(rng: random.Random) -> Numbers:
    s = rng.randint(21, 389)
    while s % 10 == 9:
        s = rng.randint(21, 389)
    c = rng.randint(1, 9 - s % 10)
    u = s + c
    d = rng.randint(1, u % 10)
    return Numbers({"s": s, "c": c, "d": d}, f"{s}+{c}={u}", u, f"{u}-{d}={u - d}", u - d, hard=False)


def _product_first(story: Story, rng: random.Random, p: int, q: int, product: int, hard: bool) -> Numbers | None:
    largest = 9 - product % 10 if story.sign > 0 else product % 10
    if largest == 0:
        return None
    c = rng.randint(1, largest)
    r = product + story.sign * c
    left, right = (p, q) if rng.random() < 0.5 else (q, p)
    return Numbers({"p": p, "q": q, "c": c}, f"{left}*{right}={product}", product,
                   f"{product}{_sign(story)}{c}={r}", r, hard)


def _product_last(story: Story, rng: random.Random, u: int, q: int, product: int, hard: bool) -> Numbers | None:
    largest = u % 10 if story.sign > 0 else 9 - u % 10
    if largest == 0:
        return None
    c = rng.randint(1, largest)
    p = u - story.sign * c
    if p == 0:
        return None
    left, right = (u, q) if rng.random() < 0.5 else (q, u)
    return Numbers({"p": p, "q": q, "c": c}, f"{p}{_sign(story)}{c}={u}", u, f"{left}*{right}={product}", product, hard)


def _sign(story: Story) -> str:
    return "+" if story.sign > 0 else "-"


def _with_aside(question: str, rng: random.Random) -> str:
    """Half of the questions begin with a sentence that does not matter."""
    return f"{rng.choice(ASIDES)} {question}" if rng.random() < 0.5 else question


def _distinct(count: int, prefix: str, make: Callable[[int], Problem]) -> list[Problem]:
    """Problems with ids, the same question never twice."""
    found: dict[str, Problem] = {}
    tries = 100 * count
    for _ in range(tries):
        made = make(len(found))
        if made.question not in found:
            found[made.question] = replace(made, id=f"{prefix}-{len(found):05d}")
        if len(found) == count:
            return list(found.values())
    raise DataError(f"the tiny world has no {count} different questions of this kind (found {len(found)}, "
                    f"{tries} tries): ask for fewer problems in params.yaml, ingest")
