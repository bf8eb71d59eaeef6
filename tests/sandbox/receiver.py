"""A real HTTP server that hears webhooks."""

from __future__ import annotations

import json
import threading

from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, parse_qsl, urlsplit


@dataclass(frozen=True, slots=True)
class Heard:
    path: str
    headers: dict[str, str]
    body: bytes
    status: int  # what was answered

    def json(self):
        return json.loads(self.body)

    def form(self):
        return dict(parse_qsl(self.body.decode()))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # a burst must not wait for a second SYN


class Receiver:
    """Answers `refuse_first` calls with 500, then 200; a GET echoes `hub.challenge`."""

    def __init__(self, port: int = 0) -> None:
        self.refuse_first = 0
        self.heard: list[Heard] = []
        self._told = threading.Condition()
        self._server = _Server(("127.0.0.1", port), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def hear(self, count: int) -> list[Heard]:
        """The first `count` webhooks; fails if they do not come in 5 s."""
        with self._told:
            assert self._told.wait_for(lambda: len(self.heard) >= count, timeout=5)
            return self.heard[:count]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _record(self, handler: BaseHTTPRequestHandler) -> int:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        with self._told:
            status = 500 if len(self.heard) < self.refuse_first else 200
            self.heard.append(Heard(handler.path, headers, body, status))
            self._told.notify_all()
        return status

    def _handler(self):
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self._answer(receiver._record(self), b"")

            def do_GET(self):
                query = parse_qs(urlsplit(self.path).query)
                known = query["hub.verify_token"] == ["verify-me"]
                self._answer(200 if known else 403, query["hub.challenge"][0].encode())

            def _answer(self, status: int, body: bytes):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        return Handler
