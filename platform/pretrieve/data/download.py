"""Download files over HTTP: an interrupted download is resumed, and a file is complete and verified, or absent."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

from pretrieve.artifacts.atomic_files import read_json, write_json
from pretrieve.errors import ImageSetError, UserError

if TYPE_CHECKING:
    from requests import Response

CHUNK_BYTES = 1 << 20
TIMEOUT_S = 30.0
_LONGEST_PAUSE_S = 30.0
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_PARTIAL, _NOT_SATISFIABLE = 206, 416

Progress = Callable[[int, int | None], None]


def _no_progress(done: int, total: int | None) -> None:
    pass


@dataclass(frozen=True)
class Patience:
    """How long a server that does not answer is tried.

    Attributes:
      attempts: how many in a row may end without a new byte.
      pause_s: seconds before the second of them; doubled before each further one, up to half a minute.
      timeout_s: seconds that a server may be silent.
    """

    attempts: int = 5
    pause_s: float = 1.0
    timeout_s: float = TIMEOUT_S


class _BrokenOffError(Exception):
    """A failure that is worth another attempt: a broken connection or a busy server."""


def download(
    url: str,
    path: Path,
    *,
    md5: str | None = None,
    progress: Progress = _no_progress,
    patience: Patience | None = None,
) -> None:
    """Fetch a file, continuing where an earlier attempt or an earlier process ended.

    It grows as `<name>.part` and gets its name once it is complete and verified. Beside it `<name>.part.json` keeps the
    server's mark of the version (ETag or Last-Modified), so that two versions are never mixed. The caller makes sure
    that one process at a time downloads the file.

    The file must have the MD5 `md5`, 32 hexadecimal digits; None skips the check. `progress` is called with the bytes
    fetched so far, and the file's size or None where the server does not say.

    Raises:
      UserError: the address is not of the web, or the server refuses or cannot be reached.
      ImageSetError: the file has another MD5; it is removed.
      OSError: the disk is full or not writable.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise UserError(f"an address to download from must begin with http:// or https://, but is {url!r}")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    mark = part.with_name(f"{part.name}.json")
    try:
        with part.open("ab") as file:
            _fetch_all(url, file, mark, progress, patience or Patience())
        if md5 is not None and (found := file_md5(part)) != md5.lower():
            part.unlink()
            mark.unlink(missing_ok=True)
            raise ImageSetError(
                f"{url} must have the MD5 {md5.lower()}, but the file served has {found} and was removed; try again, "
                "or fetch the file by hand"
            )
        part.replace(path)
        mark.unlink(missing_ok=True)
    finally:
        # An empty file is of no use later. It may be gone already: renamed, or removed as a wrong file.
        with suppress(FileNotFoundError):
            if part.stat().st_size == 0:
                part.unlink()


def file_md5(path: Path, progress: Progress = _no_progress) -> str:
    """Compute the MD5 of a file as 32 hexadecimal digits; `progress` is called with the bytes read and the size."""
    digest, done, size = hashlib.md5(usedforsecurity=False), 0, path.stat().st_size
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            done += len(chunk)
            progress(done, size)
    return digest.hexdigest()


def _fetch_all(url: str, file: IO[bytes], mark: Path, progress: Progress, patience: Patience) -> None:
    farthest, failures = file.tell(), 0
    while True:
        try:
            _fetch(url, file, mark, progress, patience.timeout_s)
            return
        except _BrokenOffError as error:
            file.flush()
            # A server that starts again each time sends bytes without end; only those beyond all earlier ones count.
            failures = 0 if file.tell() > farthest else failures + 1
            farthest = max(farthest, file.tell())
            if failures >= patience.attempts:
                raise UserError(
                    f"{url} must be reachable, but {patience.attempts} attempts in a row gave no new bytes: {error}; "
                    "run the command again to continue from here, or fetch the file by hand"
                ) from error
        time.sleep(min(_LONGEST_PAUSE_S, patience.pause_s * 2 ** max(0, failures - 1)))


def _fetch(url: str, file: IO[bytes], mark: Path, progress: Progress, timeout_s: float) -> None:
    """Request the missing bytes once and append them."""
    import requests
    from urllib3.exceptions import HTTPError

    version = _read_mark(mark, url)
    if file.tell() and version is None:
        _start_again(file)
    # Without `identity` a server may compress its answer, and count the compressed bytes.
    headers = {"Accept-Encoding": "identity"}
    if version is not None and file.tell():
        headers |= {"Range": f"bytes={file.tell()}-", "If-Range": version}
    try:
        with requests.get(url, headers=headers, stream=True, timeout=timeout_s) as response:
            if response.status_code == _NOT_SATISFIABLE:  # the file is complete, or the server's file has changed
                if response.headers.get("Content-Range", "") == f"bytes */{file.tell()}":
                    return
                _start_again(file)
                raise _BrokenOffError("the server has another version of the file; starting again")
            total = _prepare_to_append(response, file)
            _write_mark(mark, url, response)
            _append(response, file, total, progress)
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError, HTTPError) as error:
        raise _BrokenOffError(str(error)) from error
    except requests.RequestException as error:  # a malformed address, or endless redirects
        raise UserError(f"{url} must lead to a file on the web, but: {error}; fetch the file by hand") from error


def _prepare_to_append(response: Response, file: IO[bytes]) -> int | None:
    """Make the file end where the answer begins, and return the final size."""
    status = f"{response.status_code} {response.reason}"
    if response.status_code in _TRANSIENT:
        raise _BrokenOffError(f"the server answers {status}")
    if not response.ok:
        raise UserError(f"{response.url} must be served, but the server answers {status}; fetch the file by hand")
    if response.status_code == _PARTIAL:
        given = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if given is not None and int(given[1]) == file.tell():
            return None if given[2] == "*" else int(given[2])
        _start_again(file)
        raise _BrokenOffError("the server sent another range than was requested; starting again")
    _start_again(file)
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def _append(response: Response, file: IO[bytes], total: int | None, progress: Progress) -> None:
    # The raw stream: requests would unpack a .tar.gz that a server sends as `Content-Encoding: gzip`.
    while chunk := response.raw.read(CHUNK_BYTES, decode_content=False):
        file.write(chunk)
        progress(file.tell(), total)
    file.flush()
    if total is not None and file.tell() < total:
        raise _BrokenOffError(f"the connection ended after {file.tell():,} of {total:,} bytes")


def _start_again(file: IO[bytes]) -> None:
    file.seek(0)
    file.truncate()


def _read_mark(mark: Path, url: str) -> str | None:
    with suppress(OSError, ValueError):
        kept = read_json(mark)
        if isinstance(kept, dict) and kept.get("url") == url and isinstance(kept.get("version"), str):
            return str(kept["version"])
    return None


def _write_mark(mark: Path, url: str, response: Response) -> None:
    etag = response.headers.get("ETag", "")
    # A weak ETag does not promise the same bytes, so no range may be requested with it.
    version = response.headers.get("Last-Modified") if not etag or etag.startswith("W/") else etag
    if version is None:
        mark.unlink(missing_ok=True)
    else:
        write_json(mark, {"url": url, "version": version})
