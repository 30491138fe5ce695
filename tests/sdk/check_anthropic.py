"""The official Anthropic library against a gateway before endpoints that speak OpenAI's language."""

import sys

import anthropic
from anthropic import Anthropic

from raises import raises

gateway, cut = sys.argv[1:3]
MESSAGES = [{"role": "user", "content": "Say something."}]
TOOL = {"name": "look", "description": "Looks.", "input_schema": {"type": "object"}}


def client(url):
    return Anthropic(base_url=url.removesuffix("/v1"), api_key="sk-client", timeout=20)


def ask(url, model):
    return client(url).messages.create(model=model, max_tokens=100, messages=MESSAGES, tools=[TOOL])


def read(url, model):
    with client(url).messages.stream(model=model, max_tokens=100, messages=MESSAGES) as stream:
        text = "".join(stream.text_stream)
        return text, stream.get_final_message()


whole = ask(gateway, "chat")
assert whole.content[0].text and whole.usage.output_tokens == 100, whole
assert whole.stop_reason == "max_tokens" and whole._request_id, whole

text, final = read(gateway, "chat")
assert text and final.usage.output_tokens == 100 and final.stop_reason == "max_tokens", final

error = raises(anthropic.NotFoundError, lambda: ask(gateway, "gone"))
assert error.body["error"]["type"] == "not_found_error", error.body

# A stream that its endpoint ends cleanly but not whole.
raises(Exception, lambda: read(cut, "chat"))

print(f"python: anthropic {anthropic.__version__}: all is well")
