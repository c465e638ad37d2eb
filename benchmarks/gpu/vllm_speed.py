"""Tokens per second of the student's shape in vLLM, random weights; run by the Python that has vLLM.

The same work as `rows` of benchmarks/measures.py: 100 prompt tokens a row, greedy, all answers of full length.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.measures import FULL, QUICK, Size, row_counts
from benchmarks.models import PAIRS, make_config
from benchmarks.work import FIRST_WORD

PROMPT = 100


def main() -> None:
    """Measure, and write JSON of the same form as the decoder's."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("pair", "device", "dtype"):
        parser.add_argument(name)
    parser.add_argument("out", type=Path)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    found = speeds(given, QUICK if given.quick else FULL)
    most = max(found, key=int)
    measure = {"value": found[most], "goal": None, "at_most": False, "reached": None,
               "what": f"tokens/s of the student alone in vLLM, {most} rows", "details": {"tokens_per_second": found}}
    given.out.write_text(json.dumps({"measures": {"vllm_tokens_per_second": measure}}))


def speeds(given: argparse.Namespace, size: Size) -> dict[str, float]:
    """Tokens per second by rows, the median of the rounds."""
    from vllm import LLM, SamplingParams

    pair = replace(PAIRS[given.pair], device=given.device)
    with tempfile.TemporaryDirectory() as folder:
        make_config(pair.student, pair.words, architectures=["Qwen3ForCausalLM"]).save_pretrained(folder)
        engine = LLM(model=folder, load_format="dummy", skip_tokenizer_init=True, dtype=given.dtype, seed=0,
                     max_model_len=PROMPT + size.scan, enable_prefix_caching=False, gpu_memory_utilization=0.5,
                     enforce_eager=given.device == "cpu")
        asked = SamplingParams(temperature=0.0, max_tokens=size.scan, ignore_eos=True, detokenize=False)
        return {str(rows): statistics.median(_speed(engine, asked, rows, pair.words) for _ in range(size.repeats))
                for rows in row_counts(size)}


def _speed(engine: Any, asked: Any, rows: int, words: int) -> float:
    rng = random.Random(rows)
    prompts = [{"prompt_token_ids": [rng.randrange(FIRST_WORD, words) for _ in range(PROMPT)]} for _ in range(rows)]
    started = time.perf_counter()
    answers = engine.generate(prompts, asked, use_tqdm=False)
    seconds = time.perf_counter() - started
    return sum(len(answer.outputs[0].token_ids) for answer in answers) / seconds


if __name__ == "__main__":
    main()
