"""LoRA by peft: low-rank matrices and the two command rows are trained, the weights they stand beside are not.

While training the adapter lies over the weights of the model the stage starts from; without it that model is the
reference policy. What a stage hands on is merged, with the adapter beside it in a folder of its own.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from relayllm.config import LoraConfig
from relayllm.engines.checkpoints.adapters import ADAPTER, adapter_settings, check_adapter
from relayllm.engines.checkpoints.weights import weights_digest
from relayllm.engines.commands import add_command_tokens
from relayllm.engines.loading import DTYPES, load_model, load_tokenizer
from relayllm.errors import ConfigError, ModelError
from relayllm.files import atomic_write, write_json
from relayllm.relay.command import CommandTokens

if TYPE_CHECKING:
    from peft import LoraConfig as PeftConfig
    from peft import PeftModel
    from transformers import PreTrainedModel

FOLDER = "adapter"
"""Where the adapter lies in the folder of a merged model."""
BASE_FILE = "base.json"
"""Beside an adapter: the digest of the weights that it was trained over."""
ROUNDING_SEED = 0


def adapter_config(config: LoraConfig, network: PreTrainedModel, commands: CommandTokens) -> PeftConfig:
    """peft's `LoraConfig` for this network.

    Raises:
        ConfigError: the target modules are not there, or are the embedding or the head.
    """
    from peft import LoraConfig as PeftConfig

    tables = _tables(network)
    targets = config.target_modules
    if not isinstance(targets, str):
        _check_targets(targets, network, tables)
    if config.command_rows and network.get_output_embeddings().bias is not None:
        raise ConfigError(f"the head of {type(network).__name__} has a bias, which peft's trained rows leave out: set "
                          "lora.command_rows to false")
    rows = {name: [commands.call, commands.end] for name in tables} if config.command_rows else None
    network.name_or_path = None  # peft would save whole embeddings beside rows when it finds the base had fewer
    return PeftConfig(task_type="CAUSAL_LM", r=config.rank, lora_alpha=config.alpha, lora_dropout=config.dropout,
                      target_modules=targets, trainable_token_indices=rows)


def _tables(network: PreTrainedModel) -> list[str]:
    """Names of the modules that hold a row per token: the embedding, and the head when it has weights of its own."""
    head, embedding = network.get_output_embeddings(), network.get_input_embeddings()
    wanted = [embedding] if head.weight is embedding.weight else [embedding, head]
    return [_name_of(module, network).rpartition(".")[2] for module in wanted]


def _name_of(wanted: torch.nn.Module, network: PreTrainedModel) -> str:
    return next(name for name, module in network.named_modules() if module is wanted)


def give_bias(model: torch.nn.Module) -> None:
    """Give a wrapped head the `bias` that TRL and the trainer read: none, as peft's wrapper has no such attribute."""
    head = model.get_output_embeddings()
    if not hasattr(head, "bias"):
        head.bias = None


def _check_targets(targets: list[str], network: PreTrainedModel, tables: list[str]) -> None:
    linear = {name.rpartition(".")[2] for name, module in network.named_modules()
              if isinstance(module, torch.nn.Linear)} - set(tables) - {"lm_head"}
    unknown = [name for name in targets if name not in linear]
    if unknown or not targets:
        raise ConfigError(f"lora.target_modules has {', '.join(unknown) or 'nothing'}: linear layers of "
                          f"{type(network).__name__} that can have an adapter are {', '.join(sorted(linear))}; or "
                          "write all-linear")


@contextmanager
def ready_to_decode(model: torch.nn.Module) -> Iterator[PreTrainedModel]:
    """The transformers model inside of what is trained, in eval mode, adapter included.

    Trained rows are written into their tables meanwhile: peft copies a whole table at every forward otherwise. They
    are whole rows, so what was there before comes back bit for bit.
    """
    from peft.tuners.trainable_tokens import TrainableTokensLayer

    training = model.training
    rows = [layer for layer in model.modules() if isinstance(layer, TrainableTokensLayer)]
    model.eval()
    for layer in rows:
        layer.merge()
    try:
        yield without_wrapper(model)
    finally:
        for layer in rows:
            layer.unmerge()
        model.train(training)


def without_wrapper(model: torch.nn.Module) -> PreTrainedModel:
    """The transformers model with its adapter's layers in it."""
    from peft import PeftModel

    return model.get_base_model() if isinstance(model, PeftModel) else model


def merged_weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The parameters of the transformers model in here with its adapter added to them, by their names without one.

    The model stays as it is, bit for bit: taking an adapter out of rounded weights again would not give them back. Sums
    are taken in float32 and rounded by chance (see `rounded`). A head that is tied to the embedding is left out.
    """
    network = without_wrapper(model)
    with torch.no_grad():
        found = dict(_merged(network, "", torch.Generator().manual_seed(ROUNDING_SEED)))
    if network.config.tie_word_embeddings:
        found.pop(f"{_name_of(network.get_output_embeddings(), network)}.weight")
    return found


def _merged(module: torch.nn.Module, prefix: str, generator: torch.Generator) -> Iterator[tuple[str, torch.Tensor]]:
    from peft.tuners.lora import Linear
    from peft.utils.other import TrainableTokensWrapper

    if isinstance(module, TrainableTokensWrapper):
        yield f"{prefix}weight", module.token_adapter.get_merged_weights(module.token_adapter.active_adapters)
        return
    if isinstance(module, Linear):
        base = module.get_base_layer()
        whole = base.weight.float() + sum(module.get_delta_weight(name).float() for name in module.active_adapters)
        yield f"{prefix}weight", rounded(whole.cpu(), base.weight.dtype, generator)
        if base.bias is not None:
            yield f"{prefix}bias", base.bias
        return
    yield from ((prefix + name, weight) for name, weight in module.named_parameters(recurse=False))
    for name, child in module.named_children():
        yield from _merged(child, f"{prefix}{name}.", generator)


def write_merged(base: Path, adapter: Path, dtype: str, folder: Path, *, commands: bool = True) -> float:
    """Write the base with the adapter added to its weights, and the adapter beside them.

    `commands`: whether the result knows the command tokens, as one does that was trained here.

    Returns:
        How much of the adapter's change is in the rounded weights, along its own direction: 1 is all of it.

    Raises:
        ModelError: the adapter is damaged, or was trained over other weights.
    """
    check_adapter(adapter)
    _check_base(adapter, base)
    tokenizer = load_tokenizer(base)
    network = load_model(base, dtype="float32", device="cpu")
    if commands:
        add_command_tokens(network, tokenizer)
    lora = _loaded(network, adapter)
    kept = _kept(lora, DTYPES[dtype])
    merged = lora.merge_and_unload()
    _round(merged, DTYPES[dtype])
    with atomic_write(folder) as part:
        merged.save_pretrained(part)
        tokenizer.save_pretrained(part)
        shutil.copytree(adapter, part / FOLDER, ignore=shutil.ignore_patterns("*.bin", "README.md", "*.jinja",
                                                                              "tokenizer*", "special_tokens*"))
        _name_base(part / FOLDER, base)
    return kept


def trains_commands(adapter: Path) -> bool:
    """Whether an adapter brings rows of command tokens, which its base must have room for."""
    return bool(adapter_settings(adapter).get("trainable_token_indices"))


def _check_base(adapter: Path, base: Path) -> None:
    path = adapter / BASE_FILE
    trained, found = (json.loads(path.read_text())["weights"] if path.is_file() else None), weights_digest(base)
    if trained not in (None, found):
        raise ModelError(f"the adapter in {adapter} was trained over weights with the digest {trained}, those in "
                         f"{base} have {found}: take the adapter that was trained over this model, or its own base")


def _loaded(network: PreTrainedModel, adapter: Path) -> PeftModel:
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(network, str(adapter))
    except Exception as error:  # json, torch, safetensors, peft: each has errors of its own
        raise ModelError(f"the adapter in {adapter} does not fit {type(network).__name__} of "
                         f"{network.config.name_or_path}: {str(error).splitlines()[0][:300]}; take the adapter that "
                         "was trained over this model") from error


@torch.no_grad()
def _kept(lora: PeftModel, dtype: torch.dtype) -> float:
    from peft.tuners.lora import Linear

    generator = torch.Generator().manual_seed(ROUNDING_SEED)
    along = whole = 0.0
    for layer in (module for module in lora.modules() if isinstance(module, Linear)):
        before, change = layer.get_base_layer().weight, layer.get_delta_weight(layer.active_adapters[0])
        along += float(((rounded(before + change, dtype, generator).float() - before) * change).sum())
        whole += float(change.square().sum())
    return along / whole if whole else 1.0


def _round(network: PreTrainedModel, dtype: torch.dtype) -> None:
    """Round every weight of a float32 network, in place."""
    generator = torch.Generator().manual_seed(ROUNDING_SEED)
    for weight in network.parameters():
        weight.data = rounded(weight.data, dtype, generator)
    network.to(dtype)  # buffers


def rounded(tensor: torch.Tensor, dtype: torch.dtype, generator: torch.Generator) -> torch.Tensor:
    """A float32 tensor in another dtype; to bfloat16 by chance, so that on average nothing is lost.

    Weights that come in bfloat16 lie on its grid. A change of less than half a step would always be rounded back: of
    one step of training at 3e-4, 93 % of the change's length was gone. What lies on the grid stays.
    """
    if dtype != torch.bfloat16:
        return tensor.to(dtype)
    dice = torch.randint(0, 1 << 16, tensor.shape, dtype=torch.int32, generator=generator)
    return ((tensor.contiguous().view(torch.int32) + dice) & -(1 << 16)).view(torch.float32).to(dtype)


def _name_base(adapter: Path, base: Path) -> None:
    """Say in an adapter's folder which weights it belongs to."""
    named = adapter_settings(adapter) | {"base_model_name_or_path": str(base)}
    (adapter / ADAPTER).write_text(json.dumps(named, indent=2))
    write_json(adapter / BASE_FILE, {"weights": weights_digest(base)})
