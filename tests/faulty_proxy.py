"""A proxy before a tracking server that loses, delays and doubles calls, as networks and restarting servers do."""

from __future__ import annotations

import http.client
import random
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

Fault = Literal["lost before", "lost after", "delayed", "doubled", "500 before", "500 after"]
FAULTS: tuple[Fault, ...] = ("lost before", "lost after", "delayed", "doubled", "500 before", "500 after")

DELAY_S = 0.3


class FaultyProxy:
    """Passes requests on to a server, on a port of its own; `num_faults` of them go wrong, chosen by a seed.

    Attributes:
      happened: the faults so far, with method and path of the request.
    """

    def __init__(self, server: str, *, num_faults: int, share: float, seed: int) -> None:
        self._server = urlsplit(server)
        self._left, self._share = num_faults, share
        self._random, self._lock = random.Random(seed), threading.Lock()
        self._away_until = 0.0
        self.happened: list[tuple[Fault, str]] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do(self) -> None:
                proxy.answer(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do  # noqa: N815  # names of http.server

        self._listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._listener.daemon_threads = True
        threading.Thread(target=self._listener.serve_forever, daemon=True).start()

    @property
    def uri(self) -> str:
        """The address to use in place of the server's."""
        return f"http://127.0.0.1:{self._listener.server_port}"

    def go_away(self, seconds: float) -> None:
        """Answer nothing for a while."""
        self._away_until = time.monotonic() + seconds

    def stop(self) -> None:
        """Stop listening."""
        self._listener.shutdown()
        self._listener.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Pass a request on, or do what goes wrong with it."""
        is_away = time.monotonic() < self._away_until
        fault = "lost before" if is_away else self._next_fault(f"{request.command} {request.path}")
        body = _body_of(request)
        if fault == "lost before":
            request.close_connection = True
            return
        if fault == "500 before":
            _reply(request, 500, b"{}")
            return
        if fault == "delayed":
            time.sleep(DELAY_S)
        status, content = self._forward(request, body)
        if fault == "doubled":
            self._forward(request, body)
        if fault == "lost after":
            request.close_connection = True
        elif fault == "500 after":
            _reply(request, 500, b"{}")
        else:
            _reply(request, status, content)

    def _next_fault(self, call: str) -> Fault | None:
        with self._lock:
            if self._left == 0 or self._random.random() >= self._share:
                return None
            self._left -= 1
            fault = self._random.choice(FAULTS)
            self.happened.append((fault, call))
            return fault

    def _forward(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(str(self._server.hostname), self._server.port, timeout=60)
        kept = ("content-type", "authorization", "accept")
        headers = {name: value for name, value in request.headers.items() if name.lower() in kept}
        connection.request(request.command, request.path, body, headers)
        reply = connection.getresponse()
        content = reply.read()
        connection.close()
        return reply.status, content


def _body_of(request: BaseHTTPRequestHandler) -> bytes:
    if request.headers.get("Transfer-Encoding", "").lower() != "chunked":
        return request.rfile.read(int(request.headers.get("Content-Length", 0)))
    parts = []
    while size := int(request.rfile.readline().strip(), 16):
        parts.append(request.rfile.read(size))
        request.rfile.readline()
    request.rfile.readline()
    return b"".join(parts)


def _reply(request: BaseHTTPRequestHandler, status: int, content: bytes) -> None:
    request.send_response(status)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content)
