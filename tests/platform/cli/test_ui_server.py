"""The MLflow UI of a study, really served."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from ports import free_port

from pretrieve.cli.ui_server import serve
from pretrieve.errors import UserError
from pretrieve.tracking.ledger import Ledger


def test_a_studys_ui_answers_on_loopback(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    Ledger(tracking_uri=uri, study="birds", folder=tmp_path, owns_artifacts=True)
    port = free_port()
    code = (
        "from pathlib import Path; from pretrieve.cli.ui_server import serve; "
        f"serve({uri!r}, Path({str(tmp_path)!r}), port={port})"
    )
    server = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 180
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2) as answer:
                    assert answer.status == 200
                break
            except OSError:
                assert time.monotonic() < deadline, "the UI did not come up within three minutes"
                time.sleep(0.3)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.communicate(timeout=20)


def test_a_tracking_server_has_a_ui_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"open http://mlflow:5000 in a browser"):
        serve("http://mlflow:5000", tmp_path, port=1)


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"port must be free, but on port {port}: .* `pretrieve ui --port 5001`"):
            serve(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path, port=port)
