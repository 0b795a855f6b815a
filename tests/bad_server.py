"""A file server that misbehaves, one way a path."""

import gzip
import hashlib
import http.server
import threading
import time
from contextlib import contextmanager

CONTENT = bytes(range(256)) * 4096  # 1 MiB
DIGEST = hashlib.sha256(CONTENT).hexdigest()
PAGE = b"<!DOCTYPE html><html>Do you want to download anyway?</html>"
DENIED = b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>'
BODIES = {
    "page": PAGE,
    "denied": DENIED,
    "marked-denied": b"\xef\xbb\xbf \n" + DENIED,
    "wide-page": PAGE.decode().encode("utf-16"),
    "commented-page": b"<!-- cached -->\n" * 9000 + PAGE,
    "json-error": b'{"error": "no such file", "code": 403}',
    "empty": b"",
}


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by the first part of the path; anything else is the file as it should be."""

    def do_GET(self):
        name = self.path.split("/")[1]
        start = 0
        if wanted := self.headers.get("Range"):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        self.server.asked.append((self.path, start))
        content, tag = self.server.content, self.server.tag
        if (given := self.headers.get("If-Range")) and given != tag and name != "careless":
            start = 0
        if name == "no-ranges":
            start = 0
        if name == "confirm":
            self.send_response(302)
            self.send_header("Location", "/page")
            self.end_headers()
        elif name == "gone":
            self.send_error(404)
        elif name in BODIES:
            self.answer(BODIES[name], length=len(BODIES[name]))
        elif name == "gzip":
            self.answer(gzip.compress(content), length=len(gzip.compress(content)))
        elif name == "gzip-named":
            packed = gzip.compress(content)
            self.answer(packed, length=len(packed), encoding="gzip")
        elif name == "short":
            self.answer(content[:-1000], length=None)
        elif name == "short-stated":
            self.answer(content[:-1000], length=len(content))
        elif name == "longer":
            self.answer(content + b"x" * 1000, length=len(content))
        elif name == "ignores-range" and start:
            said = f"bytes 0-{len(content) - 1}/{len(content)}"
            self.answer(content, length=len(content), status=206, said=said)
        elif name == "lies-on-range" and start:
            said = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.answer(content, length=len(content), status=206, said=said)
        elif name == "no-range-field" and start:
            self.answer(content, length=len(content), status=206)
        elif start >= len(content):
            self.send_error(416)
        elif name == "slow":
            self.answer(content[:1000], length=len(content), tag=tag)
            self.wfile.flush()
            time.sleep(1.5)
        else:
            body = content[start:]
            said = f"bytes {start}-{len(content) - 1}/{len(content)}" if start else None
            cut = name == "cut" and len(self.server.asked) < 3
            cut = cut or (name in self.server.cut_once and not self.server.cut_once.remove(name))
            sent = body[: len(body) // 2] if cut else body
            status = 206 if start else 200
            self.answer(sent, length=len(body), status=status, said=said, tag=tag, slow=name)

    def answer(self, body, *, length, status=200, said=None, tag=None, encoding=None, slow=""):
        self.send_response(status)
        fields = {"Content-Length": length, "Content-Range": said, "ETag": tag}
        for field, value in {**fields, "Content-Encoding": encoding}.items():
            if value is not None:
                self.send_header(field, str(value))
        self.end_headers()
        step = 1 << 16 if slow == "crowded" else len(body) or 1
        for at in range(0, len(body), step):
            try:
                self.wfile.write(body[at : at + step])
            except (BrokenPipeError, ConnectionResetError):
                return  # the client has had enough
            if slow == "crowded":
                time.sleep(0.02)
        self.close_connection = True

    def log_message(self, *words):
        pass


@contextmanager
def serving():
    """The server, with `content` and its ETag `tag`, and what it was `asked`: (path, start)."""
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.asked, served.content, served.tag, served.cut_once = [], CONTENT, '"one"', []
    served.base = f"http://127.0.0.1:{served.server_port}"
    thread = threading.Thread(target=served.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield served
    served.shutdown()
    served.server_close()
    thread.join()
