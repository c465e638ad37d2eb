"""Commands in plain text, for a tokenizer at hand."""

from __future__ import annotations

from relayllm.relay.command import CALL, DIGITS, END_CALL
from relayllm.relay.protocols import Tokenizer
from relayllm.relay.text_command import TextCommands
from relayllm.relay.vocabulary import continuation_ids


def text_commands(tokenizer: Tokenizer) -> TextCommands:
    """How a student without command tokens writes its commands.

    Raises:
        ModelError: its tokens spell none.
    """
    special = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    digits = [continuation_ids(tokenizer, digit)[-1] for digit in DIGITS]
    return TextCommands.of_vocabulary(tokenizer.get_vocab(), special, digits, continuation_ids(tokenizer, CALL),
                                      continuation_ids(tokenizer, END_CALL))
