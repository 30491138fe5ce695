"""The official Python library against a gateway: what works works, what is cut raises."""

import json
import sys
import time
import urllib.request

import openai
from openai import OpenAI

from raises import raises

gateway, cut, admin = sys.argv[1:4]
MESSAGES = [{"role": "user", "content": "Say something."}]


def client(url):
    return OpenAI(base_url=url, api_key="sk-client", timeout=20)


def fault(path, body):
    data = json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(admin.rstrip("/") + path, data, headers)
    with urllib.request.urlopen(request, timeout=5):
        pass


def read(url, model, each=lambda text: None):
    """Reads a stream; returns its text and why it ended."""
    text, reason = "", None
    for chunk in client(url).chat.completions.create(model=model, messages=MESSAGES, stream=True):
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reason = choice.finish_reason or reason
            each(text)
    return text, reason


names = [model.id for model in client(gateway).models.list()]
assert {"auto", "chat", "long", "m"} <= set(names), names

whole = client(gateway).chat.completions.create(model="chat", messages=MESSAGES)
assert whole.choices[0].message.content and whole.usage.completion_tokens == 40, whole

text, reason = read(gateway, "chat")
assert text and reason == "stop", (text, reason)

options = {"include_usage": True}
stream = client(gateway).chat.completions.create(
    model="chat", messages=MESSAGES, stream=True, stream_options=options
)
assert [chunk.usage for chunk in stream][-1].completion_tokens == 40

error = raises(openai.NotFoundError, lambda: read(gateway, "gone"))
assert error.code == "model_not_found", error

# Other calls pass as they are, and an answer says which request it is of.
completion = client(cut).completions.create(model="chat", prompt="Say something.")
assert completion.choices[0].text == "The answer", completion
vectors = client(cut).embeddings.create(model="chat", input="a", encoding_format="float")
assert vectors.data[0].embedding == [0.25, -0.5], vectors
response = client(cut).responses.create(model="chat", input="Say something.")
assert response.output_text == "The answer" and response._request_id, response
response = client(cut).responses.create(model="chat", input="Go on.", previous_response_id="resp_1")
assert response.id == "resp_1", response

# A stream that its endpoint ends cleanly but not whole.
error = raises(openai.APIError, lambda: read(cut, "chat"))

# An endpoint that dies in the middle of a stream.
crashed = []


def crash(text):
    if text and not crashed:
        crashed.append(text)
        fault("/fault", {"node": "slow", "crash": {}})


error = raises(openai.APIError, lambda: read(gateway, "long", crash))
assert crashed, "the stream had begun"
fault("/heal", {})

# Nobody has room: the error names itself, and the library does not multiply our tries.
fault("/fault", {"node": "quick", "errors": {"status": 503}})
begun = time.monotonic()
error = raises(openai.InternalServerError, lambda: read(gateway, "chat"))
assert error.status_code == 503 and error.code == "overloaded", error
assert time.monotonic() - begun < 2, "the library tried again"
fault("/heal", {})

print(f"python: openai {openai.__version__}: all is well")
