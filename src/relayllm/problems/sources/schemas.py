"""Read a row of each public data set, in its own schema, as a problem.

A reader takes the row and its index and returns a problem whose id is unique within its set; the source puts the
set's name before it and into `family`. A missing column is a `KeyError`, which the source turns into a `DataError`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from relayllm.problems.problem import Problem
from relayllm.problems.sources.worked import MARK, last_box, split_worked

HubRow = Mapping[str, Any]

UNIT = re.compile(r"\s*\([^()]*\)\s*$")
"""The unit behind an answer of ASDiv."""


def gsm8k(row: HubRow, index: int) -> Problem:
    """openai/gsm8k: question, answer ("... #### 1,234")."""
    if MARK not in row["answer"]:
        raise ValueError(f"its answer has no `{MARK}`")
    solution, answer = split_worked(row["answer"])
    return Problem(f"{index:05d}", row["question"], answer, solution=solution)


def math_500(row: HubRow, index: int) -> Problem:
    """HuggingFaceH4/MATH-500: problem, solution, answer, subject, level, unique_id ("test/algebra/12.json")."""
    key = re.sub(r"^test/|\.json$", "", row["unique_id"]).replace("/", "-")
    meta = {"subject": row["subject"], "level": row["level"]}
    return Problem(key, row["problem"], row["answer"], solution=row["solution"], meta=meta)


def minerva(row: HubRow, index: int) -> Problem:
    """math-ai/minervamath: question, answer; the authors' own file has problem and solution, the answer in its box."""
    if "question" in row:
        return Problem(f"{index:05d}", row["question"], str(row["answer"]))
    return Problem(f"{index:05d}", row["problem"], last_box(row["solution"]) or "", solution=row["solution"],
                   meta={"subject": row["type"]})


def olympiadbench(row: HubRow, index: int) -> Problem:
    """math-ai/olympiadbench: id, question, solution (list), final_answer (list), subfield, is_multiple_answer ..."""
    answers = [answer.strip().strip("$").strip() for answer in row["final_answer"]]
    meta = {name: row[name] for name in ("subfield", "answer_type", "is_multiple_answer", "unit") if row.get(name)}
    context = f"{row['context'].strip()}\n\n" if row.get("context") else ""
    return Problem(str(row["id"]), context + row["question"], ", ".join(answers),
                   solution="\n\n".join(row.get("solution") or []), meta=meta)


def aime(row: HubRow, index: int) -> Problem:
    """HuggingFaceH4/aime_2024 and math-ai/aime25: id, problem, answer; 2024 also has solution, url, year."""
    return Problem(str(row["id"]), row["problem"], str(int(row["answer"])), solution=row.get("solution") or "")


def bbeh(row: HubRow, index: int) -> Problem:
    """google-deepmind/bbeh: input, target; `part` is the task."""
    return Problem(f"{row['part']}-{index:04d}", row["input"], str(row["target"]), meta={"task": row["part"]})


def mmlu_pro(row: HubRow, index: int) -> Problem:
    """TIGER-Lab/MMLU-Pro: question_id, question, options, answer (a letter), category ..."""
    meta = {"choices": _choices(row["options"]), "subject": row["category"]}
    return Problem(str(row["question_id"]), row["question"], row["answer"].strip(), meta=meta)


def supergpqa(row: HubRow, index: int) -> Problem:
    """m-a-p/SuperGPQA: uuid, question, options, answer, answer_letter, discipline, difficulty ..."""
    meta = {"choices": _choices(row["options"]), "subject": row["discipline"], "level": row["difficulty"]}
    return Problem(row["uuid"], row["question"], row["answer_letter"].strip(), meta=meta)


def dapo(row: HubRow, index: int) -> Problem:
    """open-r1/DAPO-Math-17k-Processed: prompt (the bare question), solution (the answer), extra_info.index ..."""
    key = (row.get("extra_info") or {}).get("index") or f"{index:05d}"
    return Problem(str(key), row["prompt"], str(row["solution"]))


def svamp(row: HubRow, index: int) -> Problem:
    """ChilleD/SVAMP and the authors' SVAMP.json: ID, Body, Question, Answer (a number, "145.0"), Equation, Type."""
    return Problem(str(row["ID"]), _story(row["Body"], row["Question"]), _number(row["Answer"]),
                   meta={"equation": row["Equation"], "subject": row["Type"]})


def mawps(row: HubRow, index: int) -> Problem:
    """MU-NLPC/Calc-mawps: id, question, result, equation; other copies: input, target, type, idx."""
    if "input" in row:
        return Problem(f"{int(row.get('idx', index)):05d}", row["input"].strip(), _number(row["target"]),
                       meta={"subject": row["type"]})
    return Problem(str(row["id"]), row["question"].strip(), _number(row["result"]), meta={"equation": row["equation"]})


def asdiv(row: HubRow, index: int) -> Problem:
    """EleutherAI/asdiv: body, question, solution_type, answer ("9 (apples)"; "3 (cats); 4 (dogs)"), formula."""
    answers = [UNIT.sub("", part).strip() for part in str(row["answer"]).split(";")]
    return Problem(f"{index:05d}", _story(row["body"], row["question"]), ", ".join(filter(None, answers)),
                   meta={"equation": row["formula"], "subject": row["solution_type"]})


def _story(body: str, question: str) -> str:
    """Body and question as one text, as their authors wrote them."""
    return f"{body.strip()} {question.strip()}"


def _number(answer: Any) -> str:
    """A number as one writes it: 145 for 145.0 and "145.0"; a fraction or thousands stay text."""
    try:
        number = Decimal(str(answer).strip().replace(",", "").replace("_", ""))
    except InvalidOperation:
        return str(answer).strip()
    if not number.is_finite():
        raise ValueError(f"its answer is {answer}")
    return f"{number.quantize(1) if number == number.to_integral_value() else number.normalize():f}"


def _choices(options: Any) -> list[str]:
    return [str(option) for option in options]
