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


def told_now(tokenizer, ids):
    """What another tokenizer is told as text, and the last ids, three at most, that wait for a character's rest."""
    waiting = []
    while ids and len(waiting) < 3 and tokenizer.decode(ids, skip_special_tokens=True).endswith("\ufffd"):
        ids, waiting = ids[:-1], [ids[-1], *waiting]
    return tokenizer.decode(ids, skip_special_tokens=True), waiting


def reference(student, tokenizer, teacher, teacher_tokenizer, prompt, teacher_prompt, *, max_new_tokens, max_calls,
              max_call_tokens, script=None, student_ends=(), teacher_ends=()):
    """Completion ids and authors ('s', 'c', 't')."""
    commands, shared = command_tokens(tokenizer), teacher_tokenizer is tokenizer
    ids, authors, view, unsent, calls, number = [], "", list(teacher_prompt), [], 0, None
    while len(ids) < max_new_tokens:
        left, n = max_new_tokens - len(ids), 0
        may = may_call(left, max_calls - calls)
        if script is not None and number is None and may and calls < len(script) and len(ids) >= script[calls][0]:
            n, command = script[calls][1], commands.write(script[calls][1])
            if left > len(command):
                ids, authors = ids + command, authors + "c" * len(command)
            else:
                n = 0
        if not n:
            bits = (ALL_DIGITS | (CALL_BIT if may and script is None else 0) if number is None else
                    allowed_in_command(number, left, max_call_tokens))
            banned = {column for bit, column in enumerate(commands.columns) if not bits >> bit & 1}
            if number is not None:
                banned |= set(range(len(tokenizer))) - {c for b, c in enumerate(commands.columns) if bits >> b & 1}
            token = best(student, prompt + ids, banned)
            inside = number is not None or token == commands.call
            ids, authors = [*ids, token], authors + ("c" if inside else "s")
            if not inside:
                unsent.append(token)
                if token in student_ends:
                    break
                continue
            if token not in (commands.call, commands.end):
                number = 10 * number + commands.digits.index(token)
                continue
            number, n = (0, 0) if token == commands.call else (None, number)
            if not n:
                continue
        calls, said = calls + 1, []
        text, waiting = (None, []) if shared else told_now(tokenizer, unsent)
        view, unsent = view + (unsent if shared else plain_ids(teacher_tokenizer, text)), waiting
        room = max_new_tokens - len(ids)
        while len(said) < min(n, room) and not (said and said[-1] in teacher_ends):
            token = best(teacher, view, {commands.call, commands.end} if shared else ())
            said, view = [*said, token], [*view, token]
        ended = bool(said) and said[-1] in teacher_ends
        heard = said[:len(said) - ended] if shared else plain_ids(
            tokenizer, teacher_tokenizer.decode(said, skip_special_tokens=True).rstrip("\ufffd"))
        heard = (heard + [tokenizer.eos_token_id] * ended)[:room]
        ids, authors = ids + heard, authors + "t" * len(heard)
        if ended:
            break
    return ids, authors
