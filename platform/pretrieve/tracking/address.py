"""Addresses of MLflow's stores, which may hold a password: hiding it, and keeping it from what MLflow prints."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

DATABASE = "mlflow.db"

_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


def sqlite_store(folder: Path) -> str:
    """Return the address of the SQLite store in a study's folder."""
    return f"sqlite:///{folder.absolute() / DATABASE}"


def is_database(address: str) -> bool:
    """Return whether an address is that of a database, which keeps no files, and not of a tracking server.

    >>> is_database("postgresql+psycopg://me@db/mlflow"), is_database("http://mlflow:5000")
    (True, False)
    """
    return re.split(r"[+:]", address, maxsplit=1)[0] in _DATABASES


def without_password(text: str) -> str:
    """Hide the password of every address in a text, before it is printed or kept.

    >>> without_password("no answer from postgresql+psycopg://me:secret@db/mlflow")
    'no answer from postgresql+psycopg://me:***@db/mlflow'
    >>> without_password("http://:s3/cr@et@mlflow:5000/ and postgresql://db/mlflow?user=me&password=secret")
    'http://:***@mlflow:5000/ and postgresql://db/mlflow?user=me&password=***'
    """
    # Up to the last @ of the word: a password that should have been percent-encoded may hold / and @ itself.
    text = re.sub(r"(://[^/@:\s]*:)[^\s'\"]*@", r"\1***@", text)
    return re.sub(r"(?i)([?&](?:password|passwd|pwd|sslpassword)=)[^&\s'\"]*", r"\1***", text)


def for_client(address: str) -> str:
    """Move the name and password of a server's address to where MLflow's clients of this process read them.

    MLflow prints a server's address as it was given, in errors and as the page of a run that has ended.

    Args:
      address: of MLflow's store.

    Returns:
      The address without name and password; that of a database as it is, since databases' drivers print none.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or parts.username is None:
        return address
    os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username)
    os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password or "")
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
