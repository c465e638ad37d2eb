"""The models of one evaluation: loaded when something must be decoded, known by their content before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from relayllm.engines.openai.pool_config import is_pool, read_pool
from relayllm.errors import ConfigError
from relayllm.evaluation.answer_cache import AnswerCache, code_digest, key_of, model_digest
from relayllm.evaluation.cached_writer import CachedWriter, CompletionWriter, Messages
from relayllm.evaluation.methods import Method
from relayllm.evaluation.routers.router import TokenizerPair
from relayllm.progress import printer
from relayllm.relay.protocols import CausalLM
from relayllm.relay.trace import Prefix
from relayllm.settings import current_settings


@dataclass
class Models:
    """Folders of the models, and the writer of each method's answers."""

    base: Path
    warmup: Path
    teacher: Path
    others: Path
    """A folder per teacher that nobody was trained with."""
    grpo: Path
    answers: AnswerCache

    def writer(self, method: Method) -> CachedWriter:
        """The cached writer of a method; no model is loaded before an answer is missing."""
        helper = self._helper_folder(method)
        if method.student == "teacher":
            return teacher_alone(self.teacher, self.answers, "evaluate's row teacher")
        made_by = [*self._servers(method), model_digest(self.folder(method.student))]
        if helper is not None:
            source = current_settings().teacher_at(helper) if method.teacher is None else helper
            made_by += _identity(source, helper)
        return CachedWriter(lambda: self.decoder(method), made_by, self.answers)

    def decoder(self, method: Method) -> CompletionWriter:
        """The student of a method, with the teacher when it has one; in this process, or before its servers."""
        from relayllm.engines.decoder import RelayDecoder
        from relayllm.engines.loading import load_model, load_tokenizer

        if servers := self._servers(method):
            return self._before_servers(method, servers)
        folder, helper = self.folder(method.student), self._helper_folder(method)
        teacher, tokenizer = None, None
        if helper is not None:
            tokenizer = load_tokenizer(helper)
            teacher = self._teacher if method.teacher is None else load_model(helper)
        return RelayDecoder.from_models(load_model(folder), load_tokenizer(folder), teacher, tokenizer,
                                        name=method.student, teacher_name=method.teacher or "teacher")

    def pair(self, method: Method) -> TokenizerPair:
        """The tokenizers of student and teacher."""
        from relayllm.engines.loading import load_tokenizer

        return TokenizerPair(load_tokenizer(self.folder(method.student)), load_tokenizer(self.teacher),
                             current_settings().remote_teacher is None)

    def prompt_states(self, prompts: Sequence[Messages], prefixes: Sequence[Prefix] | None = None, *,
                      enable_thinking: bool | None = None) -> np.ndarray:
        """The untrained student's hidden states of prompts, or behind the beginnings of answers; kept as answers are.

        Returns:
            (prompts, 2 width): at the last token, and the mean.
        """
        from relayllm.engines.hidden_states import prompt_states
        from relayllm.engines.loading import load_model, load_tokenizer
        from relayllm.engines.prompts import encode_prompt

        begun = [()] * len(prompts) if prefixes is None else [prefix.token_ids for prefix in prefixes]
        keys = [key_of(states_of=model_digest(self.base), prompt=prompt, begun=ids, thinking=enable_thinking,
                       code=code_digest())
                for prompt, ids in zip(prompts, begun, strict=True)]
        found = self.answers.get(keys)
        missing = [place for place, key in enumerate(keys) if key not in found]
        if missing:
            tokenizer, report = load_tokenizer(self.base), printer("states of questions", end=False)
            model = load_model(self.base)
            for count, place in enumerate(missing):
                ids = encode_prompt(tokenizer, prompts[place], enable_thinking=enable_thinking)
                state = prompt_states(model, [[*ids, *begun[place]]])[0]
                found[keys[place]] = state.tobytes()
                self.answers.put(keys[place], found[keys[place]])
                report(count, len(missing))
            self.answers.commit()
        return np.stack([np.frombuffer(found[key], dtype=np.float32) for key in keys])

    def folder(self, student: str) -> Path:
        """Where the weights of a student are."""
        folders = {"base": self.base, "warmup": self.warmup, "teacher": self.teacher}
        return folders.get(student, self.grpo / student / "model")

    def _servers(self, method: Method) -> tuple[str, ...]:
        """Addresses of a method's student; none where a rule of ours calls for the untrained one, token by token."""
        by_rule = method.student == "base" and method.helped
        return () if by_rule else current_settings().student_urls.get(method.student, ())

    def _before_servers(self, method: Method, servers: Sequence[str]) -> CompletionWriter:
        from relayllm.engines.decoder import RelayDecoder
        from relayllm.engines.loading import load_tokenizer
        from relayllm.engines.teacher_only import RemoteGenerator

        folder, helper = self.folder(method.student), self._helper_folder(method)
        if method.student == "base":
            return RemoteGenerator(servers, load_tokenizer(folder))
        teacher = None if helper is None else current_settings().teacher_at(helper)
        if isinstance(teacher, Path) or method.teacher is not None:
            raise ConfigError(f"{method.name}: RELAY_STUDENT_URLS says that {method.student} is served by "
                              f"{', '.join(servers)}, and its teacher is the folder {helper}: serve the teacher, too, "
                              "and name it in RELAY_TEACHER_URL or RELAY_TEACHERS, or take the student out of "
                              "RELAY_STUDENT_URLS")
        return RelayDecoder.from_servers(servers, folder, teacher)

    @cached_property
    def _teacher(self) -> CausalLM | str:
        from relayllm.engines.loading import load_teacher

        return load_teacher(self.teacher)[0]

    def _helper_folder(self, method: Method) -> Path | None:
        if not method.helped:
            return None
        return self.teacher if method.teacher is None else self.others / method.teacher


def teacher_alone(folder: Path, answers: AnswerCache, asker: str) -> CachedWriter:
    """The teacher where it answers alone, for who asks: in this process, or what stands in for it.

    Raises:
        ConfigError: what stands in is a pool of several teachers.
    """
    settings = current_settings()
    pool = None if settings.teachers is None or settings.teacher_url else read_pool(settings.teachers)
    if pool is not None and len(pool.teachers) > 1:
        names = ", ".join(one.name for one in pool.teachers)
        raise ConfigError(f"{asker} wants whole answers of one teacher, and RELAY_TEACHERS names {len(pool.teachers)} "
                          f"({names}): set RELAY_TEACHER_URL, too, to the one that is to give them")
    return writer_at(settings.teacher_url or settings.teacher_at(folder), folder, answers)


def writer_at(source: str | Path | Sequence[str], folder: Path, answers: AnswerCache) -> CachedWriter:
    """A model that answers without help: in this process, or at the servers that stand in for its folder."""
    return CachedWriter(lambda: _alone(source, folder), _identity(source, folder), answers)


def _alone(source: str | Path | Sequence[str], folder: Path) -> CompletionWriter:
    from relayllm.engines.decoder import RelayDecoder
    from relayllm.engines.loading import load_tokenizer
    from relayllm.engines.teacher_only import RemoteGenerator

    if isinstance(source, Path):
        return RelayDecoder.from_pretrained(source)
    return RemoteGenerator(source, load_tokenizer(folder))


def _identity(source: str | Path | Sequence[str], folder: Path) -> list[str]:
    """A server is known by its address and the model it stands for: other weights behind both are not seen.

    A pool is known by what its file says of who answers, and of what they are sent.
    """
    if isinstance(source, Path):
        return [model_digest(folder)]
    if not isinstance(source, str):
        return [*source, model_digest(folder)]
    return [read_pool(source).content if is_pool(source) else source, model_digest(folder)]
