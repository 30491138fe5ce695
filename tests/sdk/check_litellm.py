"""LiteLLM as a client of a gateway: what works works, what is cut raises."""

import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm

from raises import raises

gateway, cut = sys.argv[1:3]
MESSAGES = [{"role": "user", "content": "Say something."}]
litellm.telemetry = False
litellm.num_retries = 0


def ask(url, model="openai/chat", **more):
    return litellm.completion(
        model=model, messages=MESSAGES, api_base=url, api_key="sk-client", timeout=20, **more
    )


whole = ask(gateway)
assert whole.choices[0].message.content and whole.usage.completion_tokens == 40, whole

chunks = list(ask(gateway, stream=True, stream_options={"include_usage": True}))
text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
reasons = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
assert text and "stop" in reasons, chunks[-3:]
usages = [chunk.usage for chunk in chunks if getattr(chunk, "usage", None)]
assert usages and usages[-1].completion_tokens == 40, chunks[-3:]

vectors = litellm.embedding(
    model="openai/chat", input=["a"], api_base=cut, api_key="sk-client", encoding_format="float"
)
assert vectors.data[0]["embedding"] == [0.25, -0.5], vectors

raises(litellm.NotFoundError, lambda: ask(gateway, "openai/gone"))

# A stream that its endpoint ends cleanly but not whole.
raises(Exception, lambda: list(ask(cut, stream=True)))

print("litellm: all is well")
