"""Downloads from a real server on loopback: one that resumes, one that does not, and ones that break off."""

from __future__ import annotations

import hashlib
import http.server
import random
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pretrieve.data.download import Patience, download, file_md5
from pretrieve.errors import ImageSetError, UserError

CONTENT = random.Random(0).randbytes(3_000_000)
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


class Server:
    """A server of one file whose manners a test sets."""

    def __init__(self) -> None:
        self.content = CONTENT
        self.etag: str | None = '"v1"'
        self.modified: str | None = None
        self.ranges = True
        self.cut_after: list[int] = []  # bytes that the next answers send before the connection ends
        self.statuses: list[int] = []  # what the next answers say instead
        self.headers: dict[str, str] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.url = ""


def _handler(server: Server) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            server.requests.append((self.path, dict(self.headers)))
            if server.statuses:
                self.send_response(server.statuses.pop(0))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start = self._start()
            if start is not None and start >= len(server.content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(server.content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(200 if start is None else 206)
            body = server.content[start or 0 :]
            if start is not None:
                self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
            marks = {"ETag": server.etag, "Last-Modified": server.modified, "Content-Length": str(len(body))}
            for key, value in {**marks, **server.headers}.items():
                if value is not None:
                    self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body[: server.cut_after.pop(0)] if server.cut_after else body)

        def _start(self) -> int | None:
            given = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            same = self.headers.get("If-Range") in (server.etag, server.modified)
            return int(given[1]) if given and same and server.ranges else None

    return Handler


@pytest.fixture
def server() -> Iterator[Server]:
    served = Server()
    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(served))
    served.url = f"http://127.0.0.1:{listening.server_address[1]}/birds.tgz"
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield served
    listening.shutdown()
    thread.join()
    listening.server_close()


def ranges(server: Server) -> list[str | None]:
    return [headers.get("Range") for _, headers in server.requests]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def fetch(server: Server, path: Path, **options: Any) -> None:
    patience = {name: options.pop(name) for name in ("attempts", "pause_s", "timeout_s") if name in options}
    download(
        server.url,
        path,
        **{"md5": MD5, **options},
        patience=Patience(**{"pause_s": 0.0, "timeout_s": 20.0, **patience}),
    )


def test_a_file_comes_whole_with_progress_and_leaves_nothing_beside_it(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    fetch(server, tmp_path / "new" / "birds.tgz", progress=lambda done, total: seen.append((done, total)))
    assert (tmp_path / "new" / "birds.tgz").read_bytes() == CONTENT
    assert names(tmp_path / "new") == ["birds.tgz"]
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert len(seen) >= 3
    assert ranges(server) == [None]


def test_a_cut_connection_is_resumed_where_it_ended(server: Server, tmp_path: Path) -> None:
    server.cut_after = [1_000_000, 500_000]
    fetch(server, tmp_path / "birds.tgz")
    assert (tmp_path / "birds.tgz").read_bytes() == CONTENT
    assert ranges(server) == [None, "bytes=1000000-", "bytes=1500000-"]
    assert server.requests[1][1]["If-Range"] == '"v1"'


def test_any_number_of_cuts_is_borne_as_long_as_bytes_come(server: Server, tmp_path: Path) -> None:
    server.cut_after = [200_000] * 14
    fetch(server, tmp_path / "birds.tgz", attempts=2)
    assert (tmp_path / "birds.tgz").read_bytes() == CONTENT
    assert len(server.requests) == 15


def test_another_process_goes_on_from_what_a_failed_one_left(server: Server, tmp_path: Path) -> None:
    server.etag, server.modified = None, "Wed, 01 Jan 2020 00:00:00 GMT"
    server.cut_after = [1_000_000, 0]
    with pytest.raises(UserError, match=r"1 attempts in a row gave no new bytes.*run the command again"):
        fetch(server, tmp_path / "birds.tgz", attempts=1)
    assert names(tmp_path) == ["birds.tgz.part", "birds.tgz.part.json"]
    fetch(server, tmp_path / "birds.tgz")
    assert (tmp_path / "birds.tgz").read_bytes() == CONTENT
    assert ranges(server)[-1] == "bytes=1000000-"
    assert server.requests[-1][1]["If-Range"] == server.modified
    assert names(tmp_path) == ["birds.tgz"]


def test_without_ranges_it_starts_anew_and_gives_up_when_nothing_new_comes(server: Server, tmp_path: Path) -> None:
    server.ranges, server.cut_after = False, [1_000_000]
    fetch(server, tmp_path / "birds.tgz")
    assert (tmp_path / "birds.tgz").read_bytes() == CONTENT
    server.cut_after = [1_000_000] * 9
    with pytest.raises(UserError, match="3 attempts in a row gave no new bytes"):
        fetch(server, tmp_path / "other.tgz", attempts=3)


def test_two_versions_are_never_put_together(server: Server, tmp_path: Path) -> None:
    old, server.content = CONTENT, CONTENT[::-1]
    server.cut_after = [1_000_000, 0]
    with pytest.raises(UserError):
        fetch(server, tmp_path / "birds.tgz", attempts=1)
    server.content, server.etag = old, '"v2"'
    fetch(server, tmp_path / "birds.tgz", md5=None)
    assert (tmp_path / "birds.tgz").read_bytes() == old


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_mark_of_the_version_nothing_is_resumed(server: Server, tmp_path: Path, etag: str | None) -> None:
    server.etag, server.cut_after = etag, [1_000_000]
    fetch(server, tmp_path / "birds.tgz")
    assert ranges(server) == [None, None]
    assert (tmp_path / "birds.tgz").read_bytes() == CONTENT


@pytest.mark.parametrize("mark", ["{", "[]", '{"url": "http://other/birds.tgz", "version": "v1"}'])
def test_a_part_of_unknown_origin_is_not_built_upon(server: Server, tmp_path: Path, mark: str) -> None:
    (tmp_path / "birds.tgz.part").write_bytes(b"something else")
    (tmp_path / "birds.tgz.part.json").write_text(mark, encoding="utf-8")
    fetch(server, tmp_path / "birds.tgz")
    assert (tmp_path / "birds.tgz").read_bytes() == CONTENT


@pytest.mark.parametrize(("size", "requests"), [(len(CONTENT), 1), (len(CONTENT) + 5, 2)])
def test_a_part_that_is_whole_or_too_long_is_told_by_the_server(
    server: Server, tmp_path: Path, size: int, requests: int
) -> None:
    import json

    (tmp_path / "birds.tgz.part").write_bytes((CONTENT + b"extra")[:size])
    mark = {"url": server.url, "version": server.etag}
    (tmp_path / "birds.tgz.part.json").write_text(json.dumps(mark), encoding="utf-8")
    fetch(server, tmp_path / "birds.tgz")
    assert (tmp_path / "birds.tgz").read_bytes() == CONTENT
    assert len(server.requests) == requests


def test_a_wrong_checksum_names_both_and_removes_the_part(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ImageSetError, match=f"must have the MD5 {'0' * 32}, but the file served has {MD5}"):
        fetch(server, tmp_path / "birds.tgz", md5="0" * 32)
    assert names(tmp_path) == []


def test_a_checksum_may_be_written_in_capitals(server: Server, tmp_path: Path) -> None:
    fetch(server, tmp_path / "birds.tgz", md5=MD5.upper())
    assert file_md5(tmp_path / "birds.tgz") == MD5


def test_a_busy_server_is_asked_again_with_pauses(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("pretrieve.data.download.time.sleep", pauses.append)
    server.statuses = [503, 429, 500]
    fetch(server, tmp_path / "birds.tgz", pause_s=1.0)
    assert pauses == [1.0, 2.0, 4.0]
    assert (tmp_path / "birds.tgz").read_bytes() == CONTENT


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_one_message_at_once(server: Server, tmp_path: Path, status: int) -> None:
    server.statuses = [status]
    with pytest.raises(UserError, match=rf"birds.tgz must be served, but the server answers {status}"):
        fetch(server, tmp_path / "birds.tgz")
    assert len(server.requests) == 1
    assert names(tmp_path) == []


def test_a_server_that_calls_the_archive_an_encoding_does_not_unpack_it(server: Server, tmp_path: Path) -> None:
    server.headers = {"Content-Encoding": "gzip"}
    fetch(server, tmp_path / "birds.tgz")
    assert (tmp_path / "birds.tgz").read_bytes() == CONTENT


def test_a_silent_server_is_a_message(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x"
        with pytest.raises(UserError, match=r"2 attempts in a row.*timed out"):
            download(url, tmp_path / "x", patience=Patience(2, 0.0, 0.2))
    with pytest.raises(UserError, match="2 attempts in a row"):
        download(url, tmp_path / "x", patience=Patience(2, 0.0, 2.0))


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/x", "/etc/passwd", "data:,x"])
def test_only_the_web_is_downloaded_from(tmp_path: Path, url: str) -> None:
    with pytest.raises(UserError, match="must begin with http:// or https://"):
        download(url, tmp_path / "x")


def test_a_redirect_to_a_local_file_is_refused(server: Server, tmp_path: Path) -> None:
    server.statuses = []
    server.headers = {"Location": "file:///etc/passwd"}
    original = http.server.BaseHTTPRequestHandler.send_response
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            http.server.BaseHTTPRequestHandler,
            "send_response",
            lambda self, code, message=None: original(self, 302, message),
        )
        with pytest.raises(UserError, match="must lead to a file on the web"):
            fetch(server, tmp_path / "birds.tgz")
    assert not (tmp_path / "birds.tgz").exists()
