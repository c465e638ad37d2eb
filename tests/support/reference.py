"""The relay in its plainest form: one row, greedy, no cache, every token re-reads everything."""

from __future__ import annotations

import torch

from relayllm.engines.commands import command_tokens
from relayllm.relay.command import ALL_DIGITS, CALL_BIT, allowed_in_command, may_call
from relayllm.relay.vocabulary import plain_ids


def best(model, ids, banned):
    """The most likely next token that is not banned."""
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0, -1].float()
    logits[[token for token in banned if token < len(logits)]] = -torch.inf
    return int(logits.argmax())


def greedy(model):
    """What `FakeTeacher` writes with: from ids, the most likely tokens one after another."""
    def write(ids):
        while True:
            ids = [*ids, best(model, ids, ())]
            yield ids[-1]

    return write


def student_token(student, tokenizer, commands, ids, number, left, may, max_call_tokens):
    """The student's next token under the grammar; `number` is what stands in the command so far, None outside."""
    bits = (ALL_DIGITS | (CALL_BIT if may else 0)) if number is None else allowed_in_command(
        number, left, max_call_tokens)
    allowed = {column for bit, column in enumerate(commands.columns) if bits >> bit & 1}
    every = commands.columns if number is None else range(len(tokenizer))
    return best(student, ids, set(every) - allowed)


def teacher_tokens(teacher, view, n, ends, banned):
    """Up to n tokens of the teacher, its end of text included; whether it wrote one."""
    said = []
    while len(said) < n and not (said and said[-1] in ends):
        said.append(best(teacher, view + said, banned))
    return said, bool(said) and said[-1] in ends


def to_teacher(tokenizer, teacher_tokenizer, ids):
    """What the student wrote as the teacher reads it, and the last ids, three at most, that wait for a rest."""
    if teacher_tokenizer is tokenizer:
        return ids, []
    waiting = []
    while ids and len(waiting) < 3 and tokenizer.decode(ids, skip_special_tokens=True).endswith("\ufffd"):
        ids, waiting = ids[:-1], [ids[-1], *waiting]
    return plain_ids(teacher_tokenizer, tokenizer.decode(ids, skip_special_tokens=True)), waiting


def from_teacher(tokenizer, teacher_tokenizer, said, ended):
    """What the teacher wrote as the student reads it; an end of text is the student's own."""
    said = said[:len(said) - ended] if teacher_tokenizer is tokenizer else plain_ids(
        tokenizer, teacher_tokenizer.decode(said, skip_special_tokens=True).rstrip("\ufffd"))
    return said + [tokenizer.eos_token_id] * ended


def reference(student, tokenizer, teacher, teacher_tokenizer, prompt, teacher_prompt, *, max_new_tokens, max_calls,
              max_call_tokens, script=None, student_ends=(), teacher_ends=()):
    """Completion ids and authors ('s', 'c', 't')."""
    commands = command_tokens(tokenizer)
    foreign = {commands.call, commands.end} if teacher_tokenizer is tokenizer else ()
    ids, authors, view, unsent, calls, number = [], "", list(teacher_prompt), [], 0, None
    while (left := max_new_tokens - len(ids)) > 0:
        may, n = may_call(left, max_calls - calls), 0
        if script is not None and may and calls < len(script) and len(ids) >= script[calls][0]:
            command = commands.write(script[calls][1])
            if left > len(command):
                n, ids, authors = script[calls][1], ids + command, authors + "c" * len(command)
        if not n:
            token = student_token(student, tokenizer, commands, prompt + ids, number, left, may and script is None,
                                  max_call_tokens)
            inside = number is not None or token == commands.call
            ids, authors = [*ids, token], authors + ("c" if inside else "s")
            unsent += [] if inside else [token]
            if token in student_ends and not inside:
                break
            if token == commands.end:
                n, number = number, None
            elif inside:
                number = 0 if number is None else 10 * number + commands.digits.index(token)
            if not n:
                continue
        calls, (sent, unsent) = calls + 1, to_teacher(tokenizer, teacher_tokenizer, unsent)
        room = max_new_tokens - len(ids)
        said, ended = teacher_tokens(teacher, view + sent, min(n, room), teacher_ends, foreign)
        view += sent + said
        heard = from_teacher(tokenizer, teacher_tokenizer, said, ended)[:room]
        ids, authors = ids + heard, authors + "t" * len(heard)
        if ended:
            break
    return ids, authors
