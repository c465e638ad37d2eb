"""LlamaIndex's OpenAILike, as a chat and as a text, whole and streamed."""

import os

from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike

for chat in (True, False):
    model = OpenAILike(model="relay-decoder", api_base=os.environ["RELAY_URL"], api_key="none", is_chat_model=chat,
                       context_window=512, max_retries=0)
    text = model.complete("Pens?").text
    assert [part.text for part in model.stream_complete("Pens?")][-1] == text
    assert model.chat([ChatMessage(role="system", content=""), ChatMessage("Pens?")]).message.content == text
    assert [part.message.content for part in model.stream_chat([ChatMessage("Pens?")])][-1] == text
print(text)
