// The official JavaScript library against a gateway: what works works, what is cut raises.

import assert from "node:assert/strict";
import OpenAI from "openai";
import { VERSION } from "openai/version";

const [gateway, cut, admin] = process.argv.slice(2);
const messages = [{ role: "user", content: "Say something." }];

const client = (url) => new OpenAI({ baseURL: url, apiKey: "sk-client", timeout: 20_000 });

async function raises(kind, call) {
  try {
    await call();
  } catch (error) {
    assert(error instanceof kind, `not ${kind.name} but ${error}`);
    return error;
  }
  assert.fail(`nothing was raised instead of ${kind.name}`);
}

async function fault(path, body) {
  const headers = { "content-type": "application/json" };
  const call = { method: "POST", headers, body: JSON.stringify(body) };
  const answer = await fetch(admin.replace(/\/$/, "") + path, call);
  assert(answer.ok, await answer.text());
}

// Reads a stream; returns its text and why it ended.
async function read(url, model, each = async () => {}) {
  const stream = await client(url).chat.completions.create({ model, messages, stream: true });
  let [text, reason] = ["", null];
  for await (const chunk of stream) {
    for (const choice of chunk.choices) {
      text += choice.delta.content ?? "";
      reason = choice.finish_reason ?? reason;
      await each(text);
    }
  }
  return [text, reason];
}

const names = [];
for await (const model of client(gateway).models.list()) names.push(model.id);
for (const name of ["auto", "chat", "long", "m"]) assert(names.includes(name), `${names}`);

const whole = await client(gateway).chat.completions.create({ model: "chat", messages });
assert(whole.choices[0].message.content);
assert.equal(whole.usage.completion_tokens, 40);

const [text, reason] = await read(gateway, "chat");
assert(text);
assert.equal(reason, "stop");

const missing = await raises(OpenAI.NotFoundError, () => read(gateway, "gone"));
assert.equal(missing.code, "model_not_found");

// A stream that its endpoint ends cleanly but not whole.
// On a busy machine it may read the break before the error event: an error all the same.
await raises(Error, () => read(cut, "chat"));

// An endpoint that dies in the middle of a stream.
let crashed = false;
const crash = async (text) => {
  if (text && !crashed) {
    crashed = true;
    await fault("/fault", { node: "slow", crash: {} });
  }
};
await raises(Error, () => read(gateway, "long", crash));
assert(crashed, "the stream had begun");
await fault("/heal", {});

// Nobody has room: the error names itself, and the library does not multiply our tries.
await fault("/fault", { node: "quick", errors: { status: 503 } });
const begun = performance.now();
const busy = await raises(OpenAI.InternalServerError, () => read(gateway, "chat"));
assert.equal(busy.status, 503);
assert.equal(busy.code, "overloaded");
assert(performance.now() - begun < 2_000, "the library tried again");
await fault("/heal", {});

console.log(`javascript: openai ${VERSION}: all is well`);
