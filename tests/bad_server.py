"""A file server that misbehaves, one way a path."""

import hashlib
import http.server
import threading
import time
from contextlib import contextmanager

CONTENT = bytes(range(256)) * 4096  # 1 MiB
DIGEST = hashlib.sha256(CONTENT).hexdigest()
PAGE = b"<!DOCTYPE html><html>Do you want to download anyway?</html>"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        start = 0
        if self.path != "/no-ranges" and (wanted := self.headers.get("Range")):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        self.server.asked.append((self.path, start))
        if self.path == "/confirm":
            self.send_response(302)
            self.send_header("Location", "/page")
            self.end_headers()
            return
        if self.path == "/gone":
            self.send_error(404)
            return
        content = self.server.content
        if start >= len(content):
            self.send_error(416)
            return
        body = PAGE if self.path == "/page" else content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.path == "/cut" and len(self.server.asked) < 3:
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        elif self.path == "/slow":
            self.wfile.write(body[:1000])
            self.wfile.flush()
            time.sleep(1.5)
        else:
            self.wfile.write(body)

    def log_message(self, *words):
        pass


@contextmanager
def serving():
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.asked, served.content = [], CONTENT
    served.base = f"http://127.0.0.1:{served.server_port}"
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    yield served
    served.shutdown()
    served.server_close()
    thread.join()
