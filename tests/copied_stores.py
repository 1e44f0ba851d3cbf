"""New SQLite stores as copies of an empty one that MLflow made: the migrations of its tables take more than a second.

The tests open hundreds of stores. Only files named like those of studies are copied.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

FILE_NAME = "mlflow.db"


def copy_new_stores(empty: Callable[[], str]) -> None:
    """Let this process copy the file that `empty` returns wherever a store is opened that is not there yet."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def copy(dialect: object, record: object, arguments: list[Any], options: object) -> None:
        path = Path(str(arguments[0])) if arguments else Path()
        if path.name != FILE_NAME or path.exists() or not path.parent.is_dir():
            return
        own = path.with_name(f".{FILE_NAME}-{os.getpid()}")
        with contextlib.suppress(OSError):  # no space, or another process made the store: MLflow says what it has to
            shutil.copyfile(empty(), own)
            os.link(own, path)
        own.unlink(missing_ok=True)

    event.listen(Engine, "do_connect", copy)


@functools.cache
def empty_store() -> str:
    """Make an empty store, once a process; by another process, as MLflow does not open a store within another."""
    folder = tempfile.mkdtemp(prefix="empty-store-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    subprocess.run([sys.executable, __file__, folder], check=True, capture_output=True, timeout=300)
    return f"{folder}/empty.db"


def make_empty_store(folder: Path) -> None:
    from mlflow import MlflowClient

    MlflowClient(f"sqlite:///{folder / 'made.db'}").search_experiments()
    with contextlib.closing(sqlite3.connect(folder / "made.db")) as made:
        made.execute("DELETE FROM experiments")  # the default one has the address of the store
        made.commit()
        made.execute("VACUUM INTO ?", [str(folder / "empty.db")])


if __name__ == "__main__":
    make_empty_store(Path(sys.argv[1]))
