"""The MLflow UI of a study, on loopback only."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from pretrieve.errors import UserError
from pretrieve.guarded_processes import guarded
from pretrieve.printing import echo
from pretrieve.tracking.address import database_file, readable_address, without_password


def serve(tracking_uri: str, folder: Path, *, port: int) -> None:
    """Serve the UI of a SQLite store on 127.0.0.1 until interrupted, and print the address of the study's own page.

    The study has the name of its folder. A UserError is raised if the folder has no store, or if the store is a
    tracking server, which has its own UI.
    """
    if tracking_uri.startswith(("http://", "https://")):
        raise UserError(
            f"this study's record is on a tracking server; open {without_password(tracking_uri)} in a browser"
        )
    database = database_file(tracking_uri)
    if database is not None and not database.exists():
        raise UserError(
            f"a study must have run before its UI shows anything, but {database.parent} holds no {database.name}; run "
            "it first"
        )
    _check_free(port)
    page = study_page(f"http://127.0.0.1:{port}", tracking_uri, folder.name)
    echo(f"MLflow UI at {page} (ctrl-c ends it)")
    command = [sys.executable, "-m", "mlflow", "server"]
    command += ["--default-artifact-root", (folder / "artifacts").as_uri()]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    # The server's job runner starts eight processes of 200 MB each, which reading does not need.
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with guarded() as marks, tempfile.TemporaryDirectory() as scratch:
        # As an argument, its password would be visible in `ps`.
        environment["MLFLOW_BACKEND_STORE_URI"] = readable_address(tracking_uri, Path(scratch))
        subprocess.run(command, env=environment | marks, check=False)


def study_page(ui: str, tracking_uri: str, name: str) -> str:
    """Return the address of a study's page in MLflow's UI; that of the UI where the store does not know the study."""
    from pretrieve_dashboards import load_study, run_page
    from pretrieve_dashboards.errors import DashboardError

    try:
        record = load_study(tracking_uri, name, with_trials=False)
    except DashboardError:
        return ui
    return run_page(replace(record, tracking_uri=ui), record.run_id)


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            raise UserError(
                f"the UI's port must be free, but on port {port}: {error}; end what uses it, or give another: "
                "`pretrieve ui --port 5001`"
            ) from error
