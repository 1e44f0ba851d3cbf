"""Addresses of MLflow's stores, whose passwords are never printed, and reading thousands of runs from a store."""

from __future__ import annotations

import gc
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

DATABASE = "mlflow.db"
PAGE_SIZE = 5_000

_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


def sqlite_store(folder: Path) -> str:
    """Return the address of the SQLite store in a study's folder."""
    return f"sqlite:///{folder.absolute() / DATABASE}"


def database_file(address: str) -> Path | None:
    """Return the file of an SQLite store; None for any other store.

    >>> database_file("sqlite:////runs/birds/mlflow.db"), database_file("http://mlflow:5000")
    (PosixPath('/runs/birds/mlflow.db'), None)
    """
    found = re.match(r"(?i)sqlite(?:\+\w+)?:///(?:file:)?(?P<path>[^?]*)", address)
    return None if found is None or found["path"] in ("", ":memory:") else Path(found["path"])


def readable_address(address: str, scratch: Path) -> str:
    """Return an address that MLflow can open: it writes to SQLite, so a read-only file is copied to `scratch`."""
    path = database_file(address)
    if path is None or (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        return address
    for suffix in ("", "-wal"):
        if Path(f"{path}{suffix}").exists():
            shutil.copyfile(f"{path}{suffix}", scratch / f"{path.name}{suffix}")
    return f"sqlite:///{scratch / path.name}"


def is_database(address: str) -> bool:
    """Return whether an address is that of a database, which keeps no files, rather than of a tracking server.

    >>> is_database("postgresql+psycopg://me@db/mlflow"), is_database("http://mlflow:5000")
    (True, False)
    """
    return re.split(r"[+:]", address, maxsplit=1)[0] in _DATABASES


def without_password(text: str) -> str:
    """Hide the password of every address in a text.

    >>> without_password("no answer from postgresql+psycopg://me:secret@db/mlflow")
    'no answer from postgresql+psycopg://me:***@db/mlflow'
    >>> without_password("http://:s3/cr@et@mlflow:5000/ and postgresql://db/mlflow?user=me&password=secret")
    'http://:***@mlflow:5000/ and postgresql://db/mlflow?user=me&password=***'
    """
    # Up to the last @ of the word, because a password that is not percent-encoded may hold / and @ and quotes; so may
    # a user's name, such as one of a mail account, hold an @.
    text = re.sub(r"(://[^/:\s]*:)\S*@", r"\1***@", text)
    text = re.sub(r"(?i)([?&;][\w-]*(?:password|passwd|pwd|token|secret)=)[^&;\s]*", r"\1***", text)
    return re.sub(r"(?i)((?:password|pwd)%3D)(?:(?!%3B)[^&;\s])*", r"\1***", text)


def for_client(address: str) -> str:
    """Move user name and password of a server's address to the variables that MLflow's clients of this process read.

    MLflow prints a server's address in errors and as the page of an ended run. Drivers of databases print no address,
    so the address of a database is returned as it is.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or parts.username is None:
        return address
    os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username)
    os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password or "")
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


@contextmanager
def uncollected() -> Iterator[None]:
    """Switch Python's garbage collector off: it takes half the time to read the millions of objects of a large page."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def read_runs(client: MlflowClient, experiment_id: str, filter_string: str) -> list[Run]:
    """Read all runs that pass a filter and are not deleted, oldest first, with one request a page."""
    search = partial(client.search_runs, [experiment_id], filter_string, max_results=PAGE_SIZE)
    pages: list[Any] = []
    with uncollected():
        while not pages or pages[-1].token:
            token = pages[-1].token if pages else None
            pages.append(search(order_by=["attributes.start_time ASC"], page_token=token))
    return [run for page in pages for run in page]
