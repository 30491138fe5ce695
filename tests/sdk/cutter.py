"""An endpoint that ends every stream cleanly and without a terminal marker: a shorter answer, to
anyone who does not look for the end. Calls other than chats are answered whole."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
CHOICE = {"index": 0, "text": "The answer", "finish_reason": "stop", "logprobs": None}
VECTOR = {"object": "embedding", "index": 0, "embedding": [0.25, -0.5]}
WORDS = {"type": "output_text", "text": "The answer", "annotations": []}
MESSAGE = {"type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": [WORDS]}
WHOLE = {
    "/v1/completions": {"id": "c1", "object": "text_completion", "created": 1, "model": "m", "choices": [CHOICE], "usage": USAGE},
    "/v1/embeddings": {"object": "list", "model": "m", "data": [VECTOR], "usage": {"prompt_tokens": 3, "total_tokens": 3}},
    "/v1/responses": {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": "completed",
                      "output": [MESSAGE], "tools": [], "tool_choice": "auto", "parallel_tool_calls": True},
}


class Cutter(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        if self.path in WHOLE:
            body = json.dumps(WHOLE[self.path]).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for text in ("The ", "answer ", "is"):
            event = 'data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"m",'
            event += '"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % text
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event.encode()))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Cutter)
print(f"listening on http://127.0.0.1:{server.server_port}/v1", flush=True)
server.serve_forever()
