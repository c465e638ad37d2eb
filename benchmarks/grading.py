"""`python -m benchmarks.grading FOLDER`: graders beside each other on right and wrong answers to a folder's golds.

The folder has JSONL files as their authors published them: GSM8K, MATH-500, Minerva, OlympiadBench, AIME, SVAMP, MAWPS.
From every gold answer come other spellings of it and answers near it; counted is which grader takes which for right.
Each grader gets an answer in the words it looks for. A folder of case tables (*.json with gold, text and correct, as
in tests/unit/grading/cases) is graded text by text instead, each as it stands.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.answers import right, wrong
from relayllm.grading import grade
from relayllm.grading.boxes import find_answer
from relayllm.grading.gold import fault_of_gold
from relayllm.problems.problem import Problem
from relayllm.problems.sources import schemas

OTHER_KINDS = ("bbeh", "mmlu-pro", "supergpqa", "tiny-world", "wordings")
"""Case tables that are not mathematics, or not that alone."""
MINERVA = "Final Answer: The final answer is ${}$. I hope it is correct."
LONE_BOX = re.compile(r"Therefore the result is \$\\boxed\{(.*)\}\$\.")
Grader = Callable[[str, str, bool], bool]
"""Gold answer, answer, whether the set's answers are plain numbers -> right."""


@dataclass
class Tally:
    """What one grader made of the answers of one set."""

    right: int = 0
    right_taken: int = 0
    wrong: int = 0
    wrong_taken: int = 0
    limits: int = 0
    seconds: float = 0.0
    missed: list[tuple[str, str, str]] = field(default_factory=list)
    """Right answers that were refused: what was done, gold answer, answer."""
    fooled: list[tuple[str, str, str]] = field(default_factory=list)


def golds(path: Path) -> list[tuple[str, str]]:
    """Id and gold answer of every row of a published file."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [(str(row.get("id", row.get("unique_id", index))), _gold(row)) for index, row in enumerate(rows)]


def _gold(row: dict[str, Any]) -> str:
    if "final_answer" in row:
        return schemas.olympiadbench(row, 0).answer
    if "####" in str(row.get("answer", "")):
        return schemas.gsm8k(row, 0).answer
    plain = row.get("answer", row.get("Answer", row.get("target")))
    if plain is None:
        return find_answer(row["solution"]) or ""
    return f"{plain:g}" if isinstance(plain, float) else str(plain)


def _lm_eval() -> Any:
    """lm-eval's tools for mathematics; they need antlr 4.11, while Hydra wants 4.9."""
    try:
        return importlib.import_module("lm_eval.tasks.minerva_math.utils")
    except (ImportError, AssertionError):
        return None


def graders() -> dict[str, Grader]:
    """The graders that can run on this machine."""
    found: dict[str, Grader] = {"relayllm": _ours, "math-verify": _math_verify}
    minerva = _lm_eval()
    if minerva is None:
        return found

    def lm_eval(gold: str, answer: str, numbers: bool) -> bool:
        if numbers:
            return _gsm8k(gold, f"#### {answer}")
        said = minerva.get_unnormalized_answer(MINERVA.format(answer))
        return bool(minerva.is_equiv(minerva.normalize_final_answer(said), minerva.normalize_final_answer(gold)))

    return {**found, "lm-eval": lm_eval}


def texts(gold: str, text: str, family: str) -> dict[str, bool]:
    """Grader -> its verdict on a whole completion; lm-eval, which reads one sentence only, gets a lone box in that."""
    from math_verify import parse, verify

    found = {"relayllm": grade(text, Problem("1", "?", gold, family), 20.0).correct,
             "math-verify": bool(verify(parse(f"\\boxed{{{gold}}}"), parse(text)))}
    minerva = _lm_eval()
    if minerva is None:
        return found
    boxed = LONE_BOX.fullmatch(text)
    said = minerva.get_unnormalized_answer(MINERVA.format(boxed.group(1)) if boxed else text)
    return {**found, "lm-eval": bool(minerva.is_equiv(minerva.normalize_final_answer(said),
                                                      minerva.normalize_final_answer(gold)))}


def _ours(gold: str, answer: str, numbers: bool) -> bool:
    result = grade(f"So the answer is $\\boxed{{{answer}}}$.", Problem("1", "?", gold), 20.0)
    if result.reason == "time limit":
        raise TimeoutError
    return result.correct


def _math_verify(gold: str, answer: str, numbers: bool) -> bool:
    from math_verify import parse, verify

    return bool(verify(parse(f"\\boxed{{{gold}}}"), parse(f"So the answer is $\\boxed{{{answer}}}$.")))


def _gsm8k(gold: str, text: str) -> bool:
    """The stock task gsm8k: strict-match, then exact_match without commas, dollars and a final period."""
    found = re.search(r"#### (\-?[0-9\.\,]+)", text)
    plain = [re.sub(r",|\$|\.$", "", each) for each in (found.group(1) if found else "[invalid]", gold)]
    return plain[0].lower() == plain[1].lower()


def count(grader: Grader, answers: Iterator[tuple[str, str, str, bool]], numbers: bool) -> Tally:
    """What a grader makes of (what was done, gold, answer, right) rows."""
    counted = Tally()
    started = time.perf_counter()
    for what, gold, answer, is_right in answers:
        try:
            taken = grader(gold, answer, numbers)
        except TimeoutError:
            taken, counted.limits = False, counted.limits + 1
        if is_right:
            counted.right, counted.right_taken = counted.right + 1, counted.right_taken + taken
        else:
            counted.wrong, counted.wrong_taken = counted.wrong + 1, counted.wrong_taken + taken
        if taken is not is_right:
            (counted.missed if is_right else counted.fooled).append((what, gold, answer))
    counted.seconds = time.perf_counter() - started
    return counted


def made(found: list[tuple[str, str]]) -> Iterator[tuple[str, str, str, bool]]:
    """Every answer that is made from gold answers, the gold answer itself included."""
    for _, gold in found:
        yield "itself", gold, gold, True
        yield from ((what, gold, answer, True) for what, answer in right(gold))
        yield from ((what, gold, answer, False) for what, answer in wrong(gold))


def main(argv: list[str] | None = None) -> None:
    """Print, for every set and grader, what was taken for right, and what cannot be graded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="*", help="names of files without .jsonl; all of them when left out")
    parser.add_argument("--graders", nargs="*", help="relayllm, math-verify, lm-eval; all that can run when left out")
    parser.add_argument("--show", type=int, default=0, help="wrong verdicts of each kind to print")
    given = parser.parse_args(argv)
    for path in sorted(given.folder.glob("*.json")):
        if path.stem not in OTHER_KINDS:
            _print_cases(path, given.show)
    print(f"{'set':16} {'grader':12} {'right taken':>15} {'wrong taken':>15} {'limits':>6} {'ms each':>8}")
    for path in sorted(given.folder.glob("*.jsonl")):
        if given.sets and path.stem not in given.sets:
            continue
        found = golds(path)
        faults = [(key, fault) for key, gold in found if (fault := fault_of_gold(Problem(key, "?", gold)))]
        graded = [(key, gold) for key, gold in found if key not in dict(faults)]
        numbers = all(re.fullmatch(r"-?[\d,.]+", gold) for _, gold in graded)
        for name, grader in graders().items():
            if not given.graders or name in given.graders:
                _print(path.stem, name, count(grader, made(graded), numbers), given.show)
        for key, fault in faults:
            print(f"  {path.stem} {key} cannot be graded: {fault}")


def _print_cases(path: Path, show: int) -> None:
    """What each grader makes of the texts of a case table, and the first where one is not of the table's mind."""
    cases = json.loads(path.read_text(encoding="utf-8"))
    said = [(case, texts(case["gold"], case["text"], path.stem)) for case in cases]
    names = list(said[0][1])
    counts = ", ".join(f"{name} {sum(found[name] is case['correct'] for case, found in said)}" for name in names)
    print(f"{path.stem}: {len(cases)} cases, as the table says: {counts}", flush=True)
    for case, found in [each for each in said if set(each[1].values()) != {each[0]["correct"]}][:show]:
        verdicts = " ".join(f"{name}={'right' if found[name] else 'wrong'}" for name in names)
        print(f"    {case['case']}: {case['gold']!r} <- {case['text']!r}: {verdicts}")


def _print(name: str, grader: str, one: Tally, show: int) -> None:
    each = 1000 * one.seconds / max(1, one.right + one.wrong)
    print(f"{name:16} {grader:12} {one.right_taken:>7}/{one.right:<7} {one.wrong_taken:>7}/{one.wrong:<7} "
          f"{one.limits:>6} {each:>8.2f}", flush=True)
    for title, rows in (("refused", one.missed), ("taken", one.fooled)):
        if rows and show:
            print(f"    {title}: " + ", ".join(f"{what} {times}" for what, times in Counter(
                row[0] for row in rows).most_common()))
            for row in rows[:show]:
                print(f"      {row[0]}: {row[1]!r} <- {row[2]!r}")


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    main()
