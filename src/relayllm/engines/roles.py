"""The two roles of a decoder, made from what is at hand: models in this process, or the address of a server."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from relayllm.engines.checkpoints.gguf import names_gguf
from relayllm.engines.commands import command_tokens
from relayllm.engines.llama_cpp.engine import LlamaCppEngine
from relayllm.engines.llama_cpp.model import GgufModel
from relayllm.engines.loading import end_ids, load_model, load_tokenizer
from relayllm.engines.local import LocalEngine, scored_tokens
from relayllm.engines.openai.pool_config import is_pool, read_pool
from relayllm.errors import ConfigError, ModelError
from relayllm.relay.engine import Engine
from relayllm.relay.protocols import CausalLM, Tokenizer
from relayllm.relay.teacher import RemoteTeacher
from relayllm.settings import current_settings


def same_vocabulary(student: Tokenizer, teacher: Tokenizer) -> bool:
    """Whether every token of the teacher has the same id for the student: then ids need no translation."""
    if student is teacher:
        return True
    ours = student.get_vocab()
    return all(ours.get(token) == index for token, index in teacher.get_vocab().items())


def student_engine(model: CausalLM | GgufModel, tokenizer: Tokenizer, name: str, cuda_graphs: bool) -> Engine:
    """The student in this process; its own commands are the only ones that it may write.

    Raises:
        ModelError: model and tokenizer do not fit.
    """
    commands = command_tokens(tokenizer)
    spare = padding_ids(model, tokenizer, name)
    return _engine(model, tokenizer, name, spare, cuda_graphs, None if commands is None else commands.columns)


def teacher_engine(model: CausalLM | GgufModel, tokenizer: Tokenizer, student: Tokenizer, name: str,
                   cuda_graphs: bool) -> Engine:
    """The teacher in this process; it may not write the commands of a student whose tokens it shares.

    Raises:
        ModelError: model and tokenizer do not fit.
    """
    commands = command_tokens(student) if same_vocabulary(student, tokenizer) else None
    banned = {*(() if commands is None else (commands.call, commands.end)), *padding_ids(model, tokenizer, name)}
    return _engine(model, tokenizer, name, [*banned], cuda_graphs)


def _engine(model: CausalLM | GgufModel, tokenizer: Tokenizer, name: str, banned: Sequence[int], cuda_graphs: bool,
            columns: Sequence[int] | None = None) -> Engine:
    """What runs a model: llama.cpp where it comes from a GGUF file, else our own engine."""
    if isinstance(model, GgufModel):
        return LlamaCppEngine(model, name=name, ends=model.ends | {tokenizer.eos_token_id}, columns=columns,
                              banned=banned)
    return LocalEngine(model, name=name, ends=end_ids(model, tokenizer), columns=columns, banned=banned,
                       cuda_graphs=cuda_graphs)


def named_tokenizer() -> Tokenizer | None:
    """The tokenizer that RELAY_TEACHER_TOKENIZER names, None where it is not set."""
    source = current_settings().teacher_tokenizer
    return None if source is None else load_tokenizer(source)  # type: ignore[no-any-return]


def remote_teacher(url: str, tokenizer: Tokenizer, theirs: Tokenizer,
                   news: threading.Event | None = None) -> RemoteTeacher:
    """A server's teacher, or a file's pool of them, which may not write the student's commands where it knows them."""
    from relayllm.engines.openai.governance.teacher import teacher_at
    from relayllm.engines.openai.pool import TeacherPool

    commands = command_tokens(tokenizer) if theirs is tokenizer or same_vocabulary(tokenizer, theirs) else None
    forbidden = () if commands is None else (commands.call, commands.end)
    if is_pool(url):
        return RemoteTeacher(TeacherPool(read_pool(url), theirs, forbidden_ids=forbidden, news=news))
    return RemoteTeacher(teacher_at(url, theirs, forbidden_ids=forbidden, news=news))


def is_remote(teacher: str | Path) -> bool:
    """Whether the teacher is behind an address, or a pool of them, rather than a model's folder or hub id."""
    return str(teacher).startswith(("http://", "https://")) or is_pool(teacher)


def loaded_model(source: str | Path, dtype: str | None, device: str | None,
                 revision: str | None) -> CausalLM | GgufModel:
    """A model of a folder, a GGUF file or the hub, for decoding; a GGUF file has the types it was written with.

    Raises:
        ModelError: it is missing or unreadable.
        ConfigError: int8 on an accelerator; a GGUF file without llama-cpp-python.
    """
    if names_gguf(source):
        return GgufModel(Path(source))
    if dtype != "int8":
        return load_model(source, dtype=dtype, device=device, revision=revision)  # type: ignore[no-any-return]
    if device not in (None, "cpu"):
        raise ConfigError(f"dtype int8 on {device}: int8 weights are for decoding on a CPU; give bfloat16, or cpu")
    from relayllm.engines.int8 import with_int8_weights

    return with_int8_weights(load_model(source, dtype="float32", device="cpu", revision=revision))  # type: ignore[no-any-return]


def padding_ids(model: CausalLM | GgufModel, tokenizer: Tokenizer, name: str) -> range:
    """Ids that only pad the model's table.

    Raises:
        ModelError: model and tokenizer do not fit.
    """
    rows = model.scored_tokens if isinstance(model, GgufModel) else scored_tokens(model)
    if rows < len(tokenizer):
        raise ModelError(f"{name} scores {rows} tokens, its tokenizer knows {len(tokenizer)}: they do not belong "
                         "together; load both from the folder that a stage wrote")
    return range(len(tokenizer), rows)


def context_of(model: CausalLM | GgufModel) -> int:
    """Tokens that a model reads at most; 0 when its config does not say."""
    if isinstance(model, GgufModel):
        return model.context_length
    return int(getattr(model.config.get_text_config(), "max_position_embeddings", 0) or 0)
