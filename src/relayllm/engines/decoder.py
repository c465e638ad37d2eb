"""The relay decoder: a student, a teacher, and the scheduler between them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from relayllm.engines.commands import command_tokens, spare_command_tokens
from relayllm.engines.loading import end_ids, load_model, load_tokenizer
from relayllm.engines.local import LocalEngine
from relayllm.engines.prompts import Prompt, encode_prompt
from relayllm.errors import ConfigError, DataError, ModelError
from relayllm.relay.engine import Engine
from relayllm.relay.options import Options
from relayllm.relay.remote_session import RemoteSession, RemoteStudent
from relayllm.relay.scheduler import Event, GenerationRequest, Session
from relayllm.relay.teacher import LocalTeacher, RemoteTeacher, Teacher
from relayllm.relay.trace import NO_PREFIX, Prefix, Trace
from relayllm.relay.vocabulary import SharedVocabulary, TranslatedVocabulary, Vocabulary
from relayllm.settings import current_settings

UNKNOWN_CONTEXT = 32768
"""Tokens of prompt and answer together when no model says how many it reads."""


class RelayDecoder:
    """Writes completions with a student that may call a teacher.

    Make one with `from_pretrained`, or from objects at hand with `from_models`.
    """

    def __init__(self, student: Engine | RemoteStudent, tokenizer: Any, teacher: Teacher | None, teacher_tokenizer: Any,
                 *, teacher_name: str = "", context_length: int = 0, teacher_context: int = 0) -> None:
        self.student: Any = student
        self.tokenizer = tokenizer
        self.teacher, self.teacher_tokenizer, self.teacher_name = teacher, teacher_tokenizer, teacher_name
        self.commands = command_tokens(tokenizer) or spare_command_tokens(tokenizer)
        self.shares_vocabulary = teacher_tokenizer is None or same_vocabulary(tokenizer, teacher_tokenizer)
        self._vocabulary: Vocabulary = (SharedVocabulary() if self.shares_vocabulary else
                                        TranslatedVocabulary(tokenizer, teacher_tokenizer))
        limits = [limit for limit in (context_length, teacher_context) if limit]
        self.context_length = min(limits) if limits else 0
        """Tokens that prompt and completion may take together; 0 when no model says."""

    @classmethod
    def from_pretrained(cls, student: str | Path, teacher: str | Path | None = None, *, device: str | None = None,
                        dtype: str | None = None, student_revision: str | None = None,
                        teacher_revision: str | None = None, cuda_graphs: bool | None = None) -> RelayDecoder:
        """Load from folders or the hub; the teacher may also be the http(s) address of an OpenAI-compatible server.

        `cuda_graphs` makes decode steps of fixed shapes, on CUDA as graphs (see `engines.cuda_graphs`); None leaves it
        to the environment's RELAY_CUDA_GRAPHS.

        Raises:
            ModelError: a model is missing, damaged, or does not fit its role.
        """
        tokenizer = load_tokenizer(student, student_revision)
        model = load_model(student, dtype=dtype, device=device, revision=student_revision)
        if teacher is None:
            return cls.from_models(model, tokenizer, name=str(student), cuda_graphs=cuda_graphs)
        if str(teacher).startswith(("http://", "https://")):
            return cls.from_models(model, tokenizer, str(teacher), name=str(student), cuda_graphs=cuda_graphs)
        return cls.from_models(
            model, tokenizer, load_model(teacher, dtype=dtype, device=device, revision=teacher_revision),
            load_tokenizer(teacher, teacher_revision), name=str(student), teacher_name=str(teacher),
            cuda_graphs=cuda_graphs)

    @classmethod
    def from_models(cls, student: Any, tokenizer: Any, teacher: Any = None, teacher_tokenizer: Any = None, *,
                    name: str = "student", teacher_name: str = "teacher",
                    cuda_graphs: bool | None = None) -> RelayDecoder:
        """From transformers models in memory; the student may be one that is being trained, the teacher an address."""
        static = current_settings().cuda_graphs if cuda_graphs is None else cuda_graphs
        engine = _student_engine(student, tokenizer, name, static)
        if isinstance(teacher, str):
            return cls._with_remote(engine, student, tokenizer, teacher)
        context = _context(student)
        if teacher is None:
            return cls(engine, tokenizer, None, None, context_length=context)
        theirs = teacher_tokenizer or tokenizer
        commands = command_tokens(tokenizer)
        shared = same_vocabulary(tokenizer, theirs)
        banned = set(() if commands is None else (commands.call, commands.end)) if shared else set()
        banned |= set(_padding(teacher, theirs, teacher_name))
        side = LocalTeacher(LocalEngine(teacher, name=teacher_name, ends=end_ids(teacher, theirs), banned=[*banned],
                                        cuda_graphs=static))
        return cls(engine, tokenizer, side, theirs, teacher_name=teacher_name, context_length=context,
                   teacher_context=_context(teacher))

    @classmethod
    def from_servers(cls, students: Sequence[str], tokenizer: str | Path, teacher: str | None = None, *,
                     verify: bool = True) -> RelayDecoder:
        """Over vLLM servers of the student, which run the relay grammar, and the address of a teacher: no model here.

        `tokenizer` is the student's folder; no weights of it are read. `verify` meets every server now.

        Raises:
            StudentError: a server is out of reach, of another student, or started without what it needs.
        """
        from relayllm.engines.openai.calls import CallRequest
        from relayllm.engines.openai.student import OpenAIStudent
        from relayllm.engines.openai.teacher import OpenAITeacher

        words, news = load_tokenizer(tokenizer), threading.Event()
        student = OpenAIStudent(students, words, news=news)
        context = min((info.context_length for info in student.verify() if info.context_length),
                      default=0) if verify else 0
        if teacher is None:
            return cls(student, words, None, None, context_length=context)
        forbidden = (student.commands.call, student.commands.end)
        side = RemoteTeacher(OpenAITeacher(teacher, words, forbidden_ids=forbidden, news=news), CallRequest)
        return cls(student, words, side, words, teacher_name=teacher, context_length=context)

    @classmethod
    def _with_remote(cls, engine: LocalEngine, student: Any, tokenizer: Any, url: str) -> RelayDecoder:
        from relayllm.engines.openai.calls import CallRequest
        from relayllm.engines.openai.teacher import OpenAITeacher

        commands = command_tokens(tokenizer)
        forbidden = () if commands is None else (commands.call, commands.end)
        side = RemoteTeacher(OpenAITeacher(url, tokenizer, forbidden_ids=forbidden), CallRequest)
        return cls(engine, tokenizer, side, tokenizer, teacher_name=url, context_length=_context(student))

    def bound_context(self, tokens: int) -> None:
        """Let prompt and completion take no more than so many tokens together: bounds what a row's caches take.

        Raises:
            ConfigError: the models cannot read so many, or it is less than one.
        """
        most = self.context_length
        if tokens < 1 or (most and tokens > most):
            raise ConfigError(f"a context of {tokens} tokens: the models read from 1 to {most or 'any number'}; give a "
                              "number between, or leave it out for all that they can read")
        self.context_length = tokens

    def encode(self, prompt: Prompt) -> list[int]:
        """A prompt as the student reads it; see `engines.prompts`."""
        return encode_prompt(self.tokenizer, prompt)

    def request(self, prompt: Prompt, options: Options, *, seed: int = 0, row: int = 0, sample: int = 0,
                prefix: Prefix = NO_PREFIX) -> GenerationRequest:
        """One completion to submit to a session; `prefix` is how its answer begins (see `Trace.prefix`).

        A continuation draws the random numbers of its own positions: with the same seed, row and sample it goes on as
        the answer did that the prefix is taken from. The teacher is told the prefix without its commands.

        Raises:
            DataError: the prompt leaves no room for an answer, or is token ids where the vocabularies differ.
        """
        ids = self.encode(prompt)
        theirs = None
        if not self.shares_vocabulary and self.teacher is not None:
            if not isinstance(prompt, str) and prompt and isinstance(prompt[0], int):
                raise DataError("a prompt of token ids cannot be told to a teacher with another tokenizer: give "
                                "messages")
            theirs = tuple(encode_prompt(self.teacher_tokenizer, prompt))
        self.room(ids, theirs, wanted=options.max_new_tokens)
        if len(prefix.token_ids) >= options.max_new_tokens:
            raise DataError(f"the answer begins with {len(prefix.token_ids)} tokens and max_new_tokens is "
                            f"{options.max_new_tokens}: nothing is left to write; allow more, or give a shorter prefix")
        return GenerationRequest(tuple(ids), options, seed, row, sample, theirs, prefix)

    def room(self, prompt_ids: Sequence[int], teacher_prompt_ids: Sequence[int] | None = None, *,
             wanted: int = 1) -> int:
        """Tokens that an answer to this prompt may take.

        Raises:
            DataError: fewer than are wanted.
        """
        context = self.context_length or UNKNOWN_CONTEXT
        longest = max(len(prompt_ids), len(teacher_prompt_ids or ()))
        if longest + wanted > context:
            raise DataError(f"the prompt has {longest} tokens and {wanted} are asked for, the models read {context} "
                            "together: shorten the prompt or ask for less")
        return context - longest

    @property
    def remote(self) -> bool:
        """Whether the student is behind servers, and no model is in this process."""
        return hasattr(self.student, "begin")

    def close(self) -> None:
        """Let go of servers, once or again; models in this process go when nobody holds them."""
        if self.remote:
            self.student.shut_down()
        if self.teacher is not None:
            self.teacher.close()

    def session(self, slots: int = 32) -> Session:
        """An empty running batch. One at a time: it uses the models' caches."""
        kind: Any = RemoteSession if self.remote else Session
        return kind(self.student, self.teacher, self._vocabulary, self.tokenizer, self.commands, slots)

    def generate(self, prompts: Sequence[Prompt], *, n: int = 1, seed: int = 0, slots: int = 32,
                 progress: Callable[[int, int], None] | None = None, **options: Any) -> list[Trace]:
        """Write n completions of every prompt; the rest of the options are those of `Options`.

        What a row samples depends on the seed, its index and its sample number, never on the batch. `progress` is
        told how many rows are done, of how many.

        Returns:
            Traces, the n of the first prompt first.
        """
        chosen = _options(options)
        if isinstance(prompts, str):
            raise DataError("prompts is one text: give a list of prompts")
        requests = [self.request(prompt, chosen, seed=seed, row=row, sample=sample)
                    for row, prompt in enumerate(prompts) for sample in range(n)]
        traces: dict[int, Trace] = {}
        for place, trace in self.complete(requests, slots=slots):
            traces[place] = trace
            if progress is not None:
                progress(len(traces), len(requests))
        return [traces[place] for place in range(len(requests))]

    def complete(self, requests: Sequence[GenerationRequest], *, slots: int = 32) -> Iterator[tuple[int, Trace]]:
        """Traces as they are finished, each with the place of its request."""
        session = self.session(min(slots, max(1, len(requests))))
        self._reserve(requests, min(slots, len(requests)))
        places = {session.submit(request): place for place, request in enumerate(requests)}
        while session.busy:
            for finished in session.step():
                if finished.error is not None:
                    raise finished.error
                yield places[finished.handle], finished.trace

    def stream(self, prompt: Prompt, *, seed: int = 0, **options: Any) -> Iterator[Event]:
        """Write one completion and yield its tokens as they come."""
        events: list[Event] = []
        session = self.session(1)
        handle = session.submit(self.request(prompt, _options(options), seed=seed), events.append)
        try:
            while session.busy:
                session.step()
                yield from events
                events.clear()
        finally:
            if session.busy:  # the caller went away
                session.cancel(handle)
                session.step()

    def _reserve(self, requests: Sequence[GenerationRequest], slots: int) -> None:
        """Caches at their final size at once: growing would copy."""
        if not requests:
            return
        new = requests[0].options.max_new_tokens
        self.student.reserve(slots, max(len(request.prompt_ids) for request in requests) + new)
        if self.teacher is not None and requests[0].options.teacher_enabled and requests[0].options.max_calls:
            longest = max(len(request.teacher_prompt_ids or request.prompt_ids) for request in requests)
            self.teacher.reserve(slots, longest + new)


def same_vocabulary(student: Any, teacher: Any) -> bool:
    """Whether every token of the teacher has the same id for the student: then ids need no translation."""
    if student is teacher:
        return True
    ours = student.get_vocab()
    return all(ours.get(token) == index for token, index in teacher.get_vocab().items())


def _student_engine(model: Any, tokenizer: Any, name: str, cuda_graphs: bool) -> LocalEngine:
    commands = command_tokens(tokenizer)
    spare = _padding(model, tokenizer, name)
    return LocalEngine(model, name=name, ends=end_ids(model, tokenizer),
                       columns=None if commands is None else commands.columns, banned=spare, cuda_graphs=cuda_graphs)


def _padding(model: Any, tokenizer: Any, name: str) -> range:
    """Ids that only pad the model's table.

    Raises:
        ModelError: model and tokenizer do not fit.
    """
    rows = model.get_output_embeddings().weight.shape[0]
    if rows < len(tokenizer):
        raise ModelError(f"{name} scores {rows} tokens, its tokenizer knows {len(tokenizer)}: they do not belong "
                         "together; load both from the folder that a stage wrote")
    return range(len(tokenizer), rows)


def _context(model: Any) -> int:
    return int(getattr(model.config.get_text_config(), "max_position_embeddings", 0) or 0)


def _options(given: dict[str, Any]) -> Options:
    known = set(Options.__dataclass_fields__)
    unknown = sorted(set(given) - known)
    if unknown:
        raise ConfigError(f"unknown option {', '.join(unknown)}: known are {', '.join(sorted(known))}")
    if "stop" in given:
        stop = given["stop"]
        given = {**given, "stop": (stop,) if isinstance(stop, str) else tuple(stop or ())}
    return Options(**given)
