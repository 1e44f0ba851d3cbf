"""A real tracking server on a real PostgreSQL, for tests: `mlflow server` as the README starts it."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from ports import free_port

USER = "nobody"
"""PostgreSQL refuses to run as root."""

STARTING_S = 180


class PostgresTracking:
    """PostgreSQL in a temporary folder, and MLflow's server on it, both on loopback and ports of their own.

    Args:
      artifacts: folder where the server keeps artifacts.
    """

    def __init__(self, artifacts: Path) -> None:
        self._binaries = postgres_binaries()
        self.artifacts = artifacts
        # PostgreSQL's socket needs a short path, and a folder that an unprivileged user may reach.
        self._folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
        self._password = secrets.token_hex(8)
        self._database_port, self._server_port = free_port(), free_port()
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """Address of the server."""
        return f"http://127.0.0.1:{self._server_port}"

    def start(self) -> None:
        """Start the database and the server, and wait until it answers."""
        self._start_database()
        self.start_server()

    def stop(self) -> None:
        """End both, and remove the database."""
        self.stop_server()
        self._control("stop", "-m", "fast")
        shutil.rmtree(self._folder, ignore_errors=True)

    def start_server(self) -> None:
        """Start the server alone, on the same port as before."""
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._server_port)]
        command += ["--backend-store-uri", f"postgresql+psycopg://mlflow@127.0.0.1:{self._database_port}/postgres"]
        command += ["--artifacts-destination", str(self.artifacts), "--workers", "1"]
        command += ["--allowed-hosts", f"127.0.0.1:{self._server_port}"]
        environment = {**os.environ, "PGPASSWORD": self._password, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_BACKEND_STORE_URI"):
            environment.pop(name, None)
        with (self._folder / "server.log").open("ab") as log:
            self._server = subprocess.Popen(
                command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        wait_until(self._answers, "the tracking server answers", self._folder / "server.log")

    def stop_server(self) -> None:
        """End the server alone, with its workers."""
        if self._server is not None and self._server.poll() is None:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait(timeout=30)

    def _answers(self) -> bool:
        assert self._server is not None
        assert self._server.poll() is None, (self._folder / "server.log").read_text(encoding="utf-8")
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as reply:
                return bool(reply.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _start_database(self) -> None:
        password_file = self._folder / "password"
        password_file.write_text(self._password, encoding="utf-8")
        if os.getuid() == 0:
            for path in (self._folder, password_file):
                os.chown(path, pwd.getpwnam(USER).pw_uid, -1)
        initialise = ["initdb", "--pgdata", str(self._folder / "data"), "--username=mlflow", "--no-sync"]
        self._run(*initialise, "--auth=scram-sha-256", f"--pwfile={password_file}", "--encoding=UTF8", "--locale=C")
        options = f"-p {self._database_port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self._folder}"
        self._control("start", "-w", "-t", str(STARTING_S), "-l", str(self._folder / "postgres.log"), "-o", options)

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "--pgdata", str(self._folder / "data"), *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), *arguments]
        out = self._folder / "commands.log"
        with out.open("ab") as log:
            done = subprocess.run(
                command,
                cwd=self._folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                check=False,
                user=USER if os.getuid() == 0 else None,
            )
        assert done.returncode == 0, out.read_text(encoding="utf-8")


def postgres_binaries() -> Path:
    """Find PostgreSQL's programs; where they are missing and this is root on Debian, install them."""
    if _found_binaries() is None and os.getuid() == 0 and shutil.which("apt-get"):
        for command in (["update"], ["install", "--yes", "--no-install-recommends", "postgresql"]):
            quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            subprocess.run(["apt-get", "-qq", *command], env=quiet, capture_output=True, check=False, timeout=300)
    found = _found_binaries()
    if found is None:
        pytest.skip(
            "PostgreSQL is not installed, and only root on Debian can install it here: apt-get install postgresql"
        )
    return found


def _found_binaries() -> Path | None:
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return candidates[-1].parent if candidates else Path(on_path).parent if on_path else None


def wait_until(is_so: Callable[[], bool], what: str, log: Path) -> None:
    """Wait for something; where it takes too long, fail with what the log says."""
    deadline = time.monotonic() + STARTING_S
    while not is_so():
        assert time.monotonic() < deadline, f"not within {STARTING_S} s: {what}\n{log.read_text(encoding='utf-8')}"
        time.sleep(0.2)
