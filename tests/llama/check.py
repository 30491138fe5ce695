"""More clients than two engines have places, and one engine is killed in the middle: everybody is answered.

usage: check.py GATEWAY PROCESS     the gateway's base, and the engine to kill
"""
import json
import os
import signal
import sys
import threading
import time
import urllib.request

gateway, victim = sys.argv[1], int(sys.argv[2])
CLIENTS, ROUNDS = 16, 6
answered, served, wrong = [], {}, []
lock = threading.Lock()


def ask(client, turn):
    stream = client % 4 == 0
    body = {
        "model": "auto",
        "messages": [{"role": "user", "content": f"Say a few words about ship number {client}-{turn}."}],
        "max_tokens": 24,
        "stream": stream,
    }
    request = urllib.request.Request(
        f"{gateway}/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    began = time.monotonic()
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            text = answer.read().decode()
            node = answer.headers["x-plimsoll-node"]
        whole = "[DONE]" in text if stream else bool(json.loads(text)["choices"][0]["message"]["content"])
    except Exception as error:
        whole, node, text = False, None, repr(error)
    with lock:
        served[node] = served.get(node, 0) + 1
        answered.append(time.monotonic() - began)
        if not whole:
            wrong.append((stream, text[-300:]))


def client(number):
    for turn in range(ROUNDS):
        ask(number, turn)


threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
for thread in threads:
    thread.start()
while len(answered) < CLIENTS * ROUNDS // 4:
    time.sleep(0.05)
os.kill(victim, signal.SIGKILL)
print(f"killed one engine after {len(answered)} of {CLIENTS * ROUNDS} answers")
for thread in threads:
    thread.join()
answered.sort()
print(f"{len(answered)} asked, served by {served}; the slowest took {answered[-1]:.1f} s")
# A stream that had begun on the engine that died cannot be whole, and says so.
broken = [text for stream, text in wrong if stream]
lost = [text for stream, text in wrong if not stream]
print(f"{len(broken)} streams broken after their beginning, {len(lost)} answers lost")
if lost or len(broken) > 4:
    sys.exit(f"not answered: {lost} {broken}")
