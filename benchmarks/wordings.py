r"""`python -m benchmarks.wordings FOLDER`: our grader on whole texts about the gold answers of published files.

Three counts for each set: the gold answer in a chat model's last words, which is right; the gold answer in words that
give another answer or none, which is wrong; and every pair of different symbolic gold answers, one as the answer to the
other, of which those that are taken are printed, since two may be equal. `benchmarks.grading` has the rest.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

from benchmarks.grading import golds
from relayllm.grading import grade
from relayllm.problems.problem import Problem

SETS = ("math-500", "minerva", "olympiadbench", "aime-2024", "svamp")
SECONDS = 20.0
"""Processor time of one comparison at most."""
PLAIN = re.compile(r"-?[\d.,e]+-?\d*|\\frac\{\d+\}\{\d+\}")
"""A gold answer that is a number: two of them differ where their digits do."""
GIVEN = (
    "**Answer:** {}", "The final answer is: $\\boxed{{{}}}$.", "#### {}", "So the answer is \\({}\\).",
    "\\[\n\\boxed{{{}}}\n\\]", "The answer is $${}$$", "**Final Answer**\n\n\\boxed{{{}}}\n\nDone!", "Answer: ${}$",
    "<answer>{}</answer>", "The answer is {}.", "Final Answer: The final answer is ${}$. I hope it is correct.",
    "\\boxed{{\\displaystyle {}}}", "\\boxed {{{}}}", "\\boxed{{\\,{}\\,}}",
    "<think>\\boxed{{999}}</think> The answer is \\boxed{{{}}}",
    "The answer is ${}$.\n\nQuestion: what is 7?\nThe answer is $7$.", "### Final Answer:\n$${}$$",
    "The answer is:\n\n${}$\n\nThis is because of the above.", "The answer is **${}$**.",
    "Therefore, $\\boxed{{{}}}$ is the answer.", "\\begin{{equation*}}\n\\boxed{{{}}}\n\\end{{equation*}}",
    "The answer is ${}$, which is what we wanted.",
    "Earlier I had $\\boxed{{12345}}$, but the correct answer is $\\boxed{{{}}}$.",
)
NOT_GIVEN = (
    "The answer is not {}.", "The answer is not ${}$.",
    "\\boxed{{{}}}. Wait, that is wrong. So it is \\boxed{{12345}}.",
    "The answer is {}.\n\nWait, I made a mistake. The answer is 12345.", "\\boxed{{{}, 12345}}",
    "The answer is ${}$ or $12345$.", "\\boxed{{{} + 12345}}", "\\boxed{{\\neq {}}}",
    "We know that ${}$ matters. It follows.", "\\boxed{{x < {}}}", "We have {0}. So \\boxed{{{0}",
    "\\boxed{{\\frac{{{}}}{{12345}}}}", "Is the answer {} or not? I do not know.", "\\boxed{{12345 \\times ({})}}",
    "<think>The answer is {}</think> \\boxed{{12345}}", "\\boxed{{w + 1 = {}}}", "\\boxed{{\\text{{at least }} {}}}",
    "The answer is $\\ge {}$", "\\boxed{{12345}}\n\nQuestion: and?\n\nThe answer is {}", "\\boxed{{a_{{{}}}}}",
    "\\boxed{{{} : 12345}}", "\\boxed{{12345 \\approx {}}}", "\\boxed{{{} \\pm 12345}}", "\\boxed{{\\{{{}, 12345\\}}}}",
    "\\boxed{{({}, 12345)}}", "\\boxed{{{} \\text{{ and }} 12345}}",
)


def taken(gold: str, text: str) -> bool:
    """Whether the grader takes a text for the gold answer."""
    return grade(text, Problem("1", "?", gold), SECONDS).correct


def counted(name: str, found: list[str]) -> Iterator[str]:
    """The counts of one set as lines, and under each what went the other way."""
    for words, forms, expected in (("given", GIVEN, True), ("not given", NOT_GIVEN, False)):
        odd = [(gold, form) for gold in found for form in forms if taken(gold, form.format(gold)) is not expected]
        texts = len(found) * len(forms)
        yield f"{name}, {words}: {texts - len(odd) if expected else len(odd)} of {texts} texts taken"
        yield from (f"    {gold!r} in {form!r}" for gold, form in odd)
    symbolic = [gold for gold in found if not PLAIN.fullmatch(gold)]
    pairs = list(combinations(symbolic, 2))
    equal = [pair for pair in pairs if taken(pair[0], f"\\boxed{{{pair[1]}}}")]
    yield f"{name}, another's: {len(equal)} of {len(pairs)} pairs taken"
    yield from (f"    {one!r} and {other!r}" for one, other in equal)


def main() -> None:
    """Count, and print as it comes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wordings", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="*", default=SETS, help=f"default: {' '.join(SETS)}")
    given = parser.parse_args()
    for name in given.sets:
        found = list(dict.fromkeys(gold for _, gold in golds(given.folder / f"{name}.jsonl")))
        for line in counted(name, found):
            print(line, flush=True)


if __name__ == "__main__":
    main()
