"""What the tiny world's base models read."""

from __future__ import annotations

import re
from itertools import islice

from relayllm.problems.tiny_world.generator import corpus

PRODUCT = re.compile(r"(\d+)\*(\d+)=(\d+)")


def products(guess: bool) -> list[tuple[bool, int, int, int]]:
    """Whether a problem is hard, its factors, and what is said to be their product."""
    read = islice(corpus(3, 0.5, 0.0, guess=guess), 600)
    return [(problem.meta["hard"], *map(int, found.groups())) for problem in read
            if (found := PRODUCT.search(problem.solution))]


def test_corpus_tells_the_truth_unless_it_guesses():
    assert all(p * q == product for _, p, q, product in products(guess=False))


def test_corpus_guesses_hard_products_alone_and_in_three_digits():
    read = products(guess=True)
    assert all(p * q == product for hard, p, q, product in read if not hard)
    hard = [(p * q, product) for is_hard, p, q, product in read if is_hard]
    assert len(hard) > 100
    assert sum(right == said for right, said in hard) < 0.1 * len(hard)
    assert all(144 <= said <= 361 for _, said in hard)


def test_corpus_that_guesses_goes_on_from_its_guess():
    for problem in islice(corpus(3, 1.0, 0.0, guess=True), 200):
        for left, sign, right, result in re.findall(r"(\d+)([+-])(\d+)=(\d+)", problem.solution):
            assert int(left) + int(sign + right) == int(result), problem.solution
        assert problem.answer == re.findall(r"boxed\{(\d+)\}", problem.solution)[0]
