"""LangChain as a client of a gateway: what works works, what is cut raises."""

import sys

import openai
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

from raises import raises

gateway, cut = sys.argv[1:3]
MESSAGES = [HumanMessage("Say something.")]


def client(url, model="chat", **more):
    return ChatOpenAI(base_url=url, api_key="sk-client", model=model, timeout=20, **more)


whole = client(gateway).invoke(MESSAGES)
assert whole.content and whole.usage_metadata["output_tokens"] == 40, whole

merged = None
for chunk in client(gateway, stream_usage=True).stream(MESSAGES):
    merged = chunk if merged is None else merged + chunk
assert merged.content and merged.usage_metadata["output_tokens"] == 40, merged
assert merged.response_metadata["finish_reason"] == "stop", merged

several = client(gateway).batch([MESSAGES] * 5)
assert len(several) == 5 and all(answer.content for answer in several), several

vectors = OpenAIEmbeddings(
    base_url=cut, api_key="sk-client", model="chat", check_embedding_ctx_length=False
).embed_query("a")
assert vectors == [0.25, -0.5], vectors

raises(openai.NotFoundError, lambda: client(gateway, "gone").invoke(MESSAGES))

# A stream that its endpoint ends cleanly but not whole.
raises(Exception, lambda: list(client(cut).stream(MESSAGES)))

print("langchain: all is well")
