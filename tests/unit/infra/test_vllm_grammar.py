"""The grammar that runs inside vLLM, held against the grammar of the decoder, bit for bit: the mask itself, and the
processor by both of vLLM's interfaces. vLLM itself is not needed: its modules are stood in for."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from relayllm.relay.command import ALL_DIGITS, CALL_BIT, CommandTokens, allowed_in_command, may_call

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "infra" / "vllm"))
from relayllm_vllm.grammar import CommandIds, Rows, masked
from relayllm_vllm.request import GrammarRequest

TOKENS = CommandTokens(40, 41, tuple(range(10, 20)))
IDS = CommandIds(TOKENS.call, TOKENS.end, TOKENS.digits, 48)
WIDTH = 50
"""Two ids pad the table."""
WORDS = st.lists(st.sampled_from([1, 2, *TOKENS.digits]), max_size=6)


@st.composite
def outputs(draw):
    """A segment of a student as the grammar lets it be: text, then perhaps a command that is not whole yet."""
    text = draw(WORDS)
    if not draw(st.booleans()):
        return text, None
    digits = draw(st.sampled_from(["", "3", "12", "90", "999"]))
    return [*text, TOKENS.call, *(TOKENS.digits[int(digit)] for digit in digits)], int(digits or 0)


BUDGETS = st.tuples(st.integers(0, 2), st.integers(1, 12), st.sampled_from([1, 9, 50, 99, 999]),
                    st.sampled_from([0.0, -3.5, 40.0]))


def expected(logits: torch.Tensor, number: int | None, calls: int, remaining: int, most: int,
             bias: float) -> torch.Tensor:
    """One row by the decoder's grammar."""
    if number is None:
        bits = ALL_DIGITS | (CALL_BIT if may_call(remaining, calls) else 0)
        kept = [token for token in range(IDS.vocabulary) if token not in TOKENS.columns]
    else:
        bits, kept = allowed_in_command(number, remaining, most), []
    kept += [token for place, token in enumerate(TOKENS.columns) if bits >> place & 1]
    row = torch.full_like(logits, -torch.inf)
    row[kept] = logits[kept]
    row[TOKENS.call] += bias
    return row


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(outputs(), BUDGETS), min_size=1, max_size=8), st.integers(0, 1000))
def test_masked_is_the_decoders_grammar_bit_for_bit(rows, seed):
    logits = torch.randn(len(rows), WIDTH, generator=torch.Generator().manual_seed(seed))
    wanted = torch.stack([expected(line, number, *budget) for line, ((_, number), budget)
                          in zip(logits, rows, strict=True)])
    found = masked(logits.clone(),
                   Rows.of([(output, calls > 0, left, most, bias) for (output, _), (calls, left, most, bias)
                                            in rows], logits.device), IDS)
    assert torch.equal(found, wanted)


def test_masked_row_never_stands_without_a_token():
    """Whatever a budget says, something may be written: a command that began can always be ended."""
    for number, digits in ((0, []), (9, [9]), (99, [9, 9])):
        for remaining in range(1, 6):
            output = [TOKENS.call, *(TOKENS.digits[digit] for digit in digits)]
            row = masked(torch.zeros(1, WIDTH), Rows.of([(output, True, remaining, 99, 0.0)], torch.device("cpu")), IDS)
            assert torch.isfinite(row).any(), (number, remaining)


@pytest.mark.parametrize(("given_", "fact"), [
    ({"calls_left": 1}, "remaining"), ({"calls_left": -1, "remaining": 3, "max_call_tokens": 9}, "calls_left"),
    ({"calls_left": True, "remaining": 3, "max_call_tokens": 9}, "calls_left"),
    ({"calls_left": 1, "remaining": 3, "max_call_tokens": 1000}, "999"), ({"call_bias": 2.0}, "calls_left"),
    ({"calls_left": 1, "remaining": 3, "max_call_tokens": 9, "call_bias": float("-inf")}, "call_bias")])
def test_grammar_request_that_is_wrong_names_the_argument(given_, fact):
    with pytest.raises(ValueError, match=fact):
        GrammarRequest.of(given_)


def test_grammar_request_of_somebody_else_is_none():
    assert GrammarRequest.of(None) is None
    assert GrammarRequest.of({"other": 1}) is None
    asked = GrammarRequest.of({"calls_left": 2, "remaining": 64, "max_call_tokens": 99, "call_bias": 1})
    assert asked == GrammarRequest(2, 64, 99, 1.0)


@dataclass
class BatchUpdate:
    """As vLLM's: what came, went and moved since the last step."""

    added: list = field(default_factory=list)
    removed: list = field(default_factory=list)
    moved: list = field(default_factory=list)


def process_dict_updates(entries, update, new_state):
    """What vLLM's function of this name does with a dict of rows: additions, removals, moves one way or swapped."""
    for row, params, prompt, output in update.added if update else ():
        entries.pop(row, None)
        if (state := new_state(params, prompt, output)) is not None:
            entries[row] = state
    for row in update.removed if update else ():
        entries.pop(row, None)
    for row, other, way in update.moved if update else ():
        mine, theirs = entries.pop(row, None), entries.pop(other, None)
        entries.update({other: mine} if mine is not None else {})
        entries.update({row: theirs} if theirs is not None and way == "swap" else {})


class UvaBackedTensor:
    """A table of the host whose copy on the device is as old as the last `copy_to_uva`."""

    def __init__(self, size, dtype):
        self.cpu = torch.zeros(size, dtype=dtype)
        self.np, self.gpu = self.cpu.numpy(), self.cpu.clone()

    def copy_to_uva(self):
        self.gpu = self.cpu.clone()


@pytest.fixture(scope="module")
def processor():
    """The processor's module, beside modules of the names that it imports from vLLM."""
    names = {"vllm.v1.sample.logits_processor": {"LogitsProcessor": type("V1", (), {}),
                                                 "process_dict_updates": process_dict_updates},
             "vllm.v1.worker.gpu.sample.logits_processor": {"LogitsProcessor": type("V2", (), {})},
             "vllm.v1.worker.gpu.buffer_utils": {"UvaBackedTensor": UvaBackedTensor}}
    modules = {}
    for name, content in names.items():
        modules[name] = ModuleType(name)
        vars(modules[name]).update(content)
    with patch.dict(sys.modules, modules):
        yield import_module("relayllm_vllm.processor")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """Of a server whose tokenizer has the ids of TOKENS."""
    return served_tokenizer(tmp_path_factory.mktemp("student"), {"<call>": TOKENS.call, "</call>": TOKENS.end})


def served_tokenizer(folder: Path, commands: dict[str, int]) -> SimpleNamespace:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    known = {str(digit): token for digit, token in enumerate(TOKENS.digits)} | commands
    words = {f"w{token}": token for token in range(IDS.vocabulary) if token not in known.values()}
    core = Tokenizer(models.WordLevel(known | words, unk_token="w0"))
    PreTrainedTokenizerFast(tokenizer_object=core).save_pretrained(folder)
    return SimpleNamespace(model_config=SimpleNamespace(tokenizer=str(folder)))


@dataclass(frozen=True)
class Asked:
    """A request of a batch: a student's segment, one of them without a stop at `</call>`, or somebody else's."""

    output: list[int]
    budget: tuple[int, int, int, float]
    """Calls left, tokens that may still be written, the largest n, the bias."""
    kind: str
    prompt: list[int]
    drafts: int
    """How many of the output's tokens are not accepted yet."""

    @property
    def params(self) -> SimpleNamespace:
        calls, left, most, bias = self.budget
        mine = {"calls_left": calls, "remaining": left + len(self.output), "max_call_tokens": most, "call_bias": bias}
        return SimpleNamespace(extra_args=None if self.kind == "other's" else mine,
                               stop_token_ids=[] if self.kind == "unserved" else [TOKENS.end])

    def masked(self, logits: torch.Tensor, written: int) -> torch.Tensor:
        """One row after so many tokens of the output, by the decoder's grammar."""
        calls, left, most, bias = self.budget
        if self.kind == "other's":
            return logits
        before = self.output[:written]
        tail = before[before.index(TOKENS.call) + 1:] if TOKENS.call in before else None
        number = None if tail is None else int("".join(str(TOKENS.digits.index(token)) for token in tail) or 0)
        if self.kind == "unserved":
            calls, bias = 0, 0.0
        return expected(logits, number, calls, left + len(self.output) - written, most, bias)


@st.composite
def batches(draw):
    """Requests whose prompts end in what looks like a command: only what was written counts."""
    kinds = st.sampled_from(["segment", "segment", "unserved", "other's"])
    prompts = st.sampled_from([[1], [2, TOKENS.call], [1, 2, TOKENS.call, TOKENS.digits[4]]])
    found = []
    for (output, _), budget, kind, prompt in draw(st.lists(st.tuples(outputs(), BUDGETS, kinds, prompts), min_size=1,
                                                            max_size=6)):
        found.append(Asked(output, budget, kind, prompt, draw(st.integers(0, min(2, len(output))))))
    return found


def noise(rows: int, seed: int) -> torch.Tensor:
    return torch.randn(rows, WIDTH, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=100, deadline=None)
@given(batch=batches(), seed=st.integers(0, 1000))
def test_processor_masks_by_lists_of_output_as_the_decoder_does(processor, config, batch, seed):
    grammar = processor.RelayGrammar(config, torch.device("cpu"), False)
    outputs_so_far: list[list[int]] = [[] for _ in batch]
    grammar.update_state(BatchUpdate([(row, one.params, one.prompt, output) for row, (one, output)
                                      in enumerate(zip(batch, outputs_so_far, strict=True))]))
    for one, output in zip(batch, outputs_so_far, strict=True):
        output.extend(one.output)  # vLLM appends to the list that it gave
    grammar.update_state(None)
    logits = noise(len(batch), seed)
    wanted = torch.stack([one.masked(line, len(one.output)) for one, line in zip(batch, logits, strict=True)])
    assert torch.equal(grammar.apply(logits.clone()), wanted)

    last = len(batch) - 1  # the first request ends, the last one takes its row
    grammar.update_state(BatchUpdate(removed=[0], moved=[(last, 0, "one way")] if last else []))
    after = [batch[last], *batch[1:last]] if last else []
    logits = noise(len(batch), seed)
    wanted = torch.stack([*(one.masked(line, len(one.output)) for one, line in zip(after, logits, strict=False)),
                          logits[last]])
    assert torch.equal(grammar.apply(logits.clone()), wanted)


@settings(max_examples=100, deadline=None)
@given(batch=batches(), seed=st.integers(0, 1000), spare=st.integers(0, 2))
def test_processor_masks_by_tables_of_slots_as_the_decoder_does(processor, config, batch, seed, spare):
    """Slots are any of the table's; the tokens that a row is fed are its newest, drafts among them."""
    slots = [len(batch) + spare - place for place in range(len(batch))]
    tables = SimpleNamespace(max_num_reqs=len(batch) + spare + 1, prompt_len=UvaBackedTensor(
        len(batch) + spare + 1, torch.int32), all_token_ids=UvaBackedTensor((len(batch) + spare + 1, 16), torch.int32))
    grammar = processor.RelayGrammar(config, tables)
    tables.all_token_ids.cpu[:] = TOKENS.call  # what a row is fed must not be read here
    rows: list[tuple[Asked, int, int, int]] = []
    for one, slot in zip(batch, slots, strict=True):
        assert grammar.add_request(slot, one.params) is (one.kind != "other's")
        tables.prompt_len.cpu[slot] = len(one.prompt)
        older = [*one.prompt, *one.output][:len(one.prompt) + len(one.output) - one.drafts - 1]
        tables.all_token_ids.cpu[slot, :len(older)] = torch.tensor(older, dtype=torch.int32)
        rows += [(one, slot, len(one.output) - one.drafts + place, place) for place in range(one.drafts + 1)]
    for table in (tables.prompt_len, tables.all_token_ids):
        table.copy_to_uva()
    grammar.apply_staged_writes()
    at = [len(one.prompt) + written - 1 for one, _, written, _ in rows]
    ctx = SimpleNamespace(
        idx_mapping_np=np.array(slots), expanded_idx_mapping=torch.tensor([slot for _, slot, _, _ in rows]),
        expanded_local_pos=torch.tensor([place for *_, place in rows]), pos=torch.tensor(at),
        input_ids=torch.tensor([[*one.prompt, *one.output][place] for (one, *_), place in zip(rows, at, strict=True)]))
    logits = noise(len(rows), seed)
    wanted = torch.stack([one.masked(line, written) for (one, _, written, _), line in zip(rows, logits, strict=True)])
    assert torch.equal(grammar.apply(logits.clone(), ctx), wanted)


def test_slot_that_another_request_takes_is_not_the_students_any_more(processor, config):
    tables = SimpleNamespace(max_num_reqs=1, prompt_len=UvaBackedTensor(1, torch.int32),
                             all_token_ids=UvaBackedTensor((1, 4), torch.int32))
    grammar = processor.RelayGrammar(config, tables)
    for kind in ("segment", "other's"):
        grammar.add_request(0, Asked([], (0, 8, 9, 0.0), kind, [1], 0).params)
    grammar.apply_staged_writes()
    ctx = SimpleNamespace(idx_mapping_np=np.array([0]), expanded_idx_mapping=torch.tensor([0]), pos=torch.tensor([0]),
                          expanded_local_pos=torch.tensor([0]), input_ids=torch.tensor([1]))
    assert torch.equal(grammar.apply(noise(1, 0), ctx), noise(1, 0))


def test_processor_is_inert_in_a_server_without_command_tokens(processor, tmp_path):
    grammar = processor.RelayGrammar(served_tokenizer(tmp_path, {}), torch.device("cpu"), False)
    one = Asked([], (1, 8, 9, 40.0), "segment", [1], 0)
    grammar.update_state(BatchUpdate([(0, one.params, one.prompt, [])]))
    assert torch.equal(grammar.apply(noise(1, 0)), noise(1, 0))


def test_processor_refuses_wrong_arguments_before_a_request_runs(processor):
    with pytest.raises(ValueError, match="calls_left"):
        processor.RelayGrammar.validate_params(SimpleNamespace(extra_args={"call_bias": 2.0}))
