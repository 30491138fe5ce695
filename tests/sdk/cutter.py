"""An endpoint that ends every stream cleanly and without a terminal marker: a shorter answer, to
anyone who does not look for the end."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Cutter(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
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
