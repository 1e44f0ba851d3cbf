"""A real browser, and a finished demo, with its report and MLflow's own pages."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ports import free_port
from small_study import finish, start
from smaller_miniatures import SMALLER_SOURCE, make_smaller

if TYPE_CHECKING:
    from playwright.sync_api import Browser

STARTING_S = 180.0
LITTLE_TRAINING = (
    "targets=[{registered: digits, regime: {images_per_class: 5}}, {registered: greek, regime: {images_per_class: 5}}]",
    "backbone.pretrain.epochs=1",
    "training={epochs: 2, min_steps: 4}",
    "grid={lr: [0.01], l2: [1.0]}",
    "folds=2",
    "repeats.draws=3",
)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Find Chromium; where it is missing and this is root on Debian, install it."""
    if shutil.which("chromium") is None and os.geteuid() == 0 and shutil.which("apt-get"):
        for command in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
            quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            subprocess.run(["apt-get", "-qq", *command], env=quiet, capture_output=True, check=False, timeout=400)
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium is installed, and only root on Debian can install it here: apt-get install chromium")
    return found


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """Start it headless."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Find the finished demo whose folder PRETRIEVE_DEMO names; else run one of two targets that trains little."""
    if "PRETRIEVE_DEMO" in os.environ:
        return Path(os.environ["PRETRIEVE_DEMO"]).resolve()
    folder = tmp_path_factory.mktemp("browsed")
    settings = [word for setting in LITTLE_TRAINING for word in ("--set", setting)]
    finish(start(["demo", "--storage", str(folder), *settings], prelude=SMALLER_SOURCE), timeout_s=900)
    return folder / "demo"


@dataclass(frozen=True)
class Miniatures:
    """Experiments of the paper that ran in miniature: the storage with their reports, and what each printed."""

    storage: Path
    printed: dict[str, str]


@pytest.fixture(scope="session")
def miniatures(tmp_path_factory: pytest.TempPathFactory, ray_cluster: None) -> Miniatures:
    """Run a figure and a table of the paper in miniature, from the command line."""
    from pretrieve.cli import app as cli

    storage, printed = tmp_path_factory.mktemp("experiments"), {}
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("COLUMNS", "140")
        make_smaller(monkeypatch)
        for name in ("figure2b", "table3"):
            with contextlib.redirect_stdout(io.StringIO()) as out:
                cli.app(["reproduce", name, "--mini", "--storage", str(storage)], standalone_mode=False)
            printed[name] = out.getvalue()
    return Miniatures(storage, printed)


@pytest.fixture(scope="session")
def mlflow_ui(demo_folder: Path) -> Iterator[str]:
    """Open MLflow's pages of the study as `pretrieve ui` does."""
    port = free_port()
    command = [sys.executable, "-m", "pretrieve", "ui", str(demo_folder), "--port", str(port)]
    printed = demo_folder.parent / "ui.txt"
    with printed.open("w") as file:
        process = subprocess.Popen(command, start_new_session=True, stdout=file, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(address, process)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=30)


@pytest.fixture
def study_page(mlflow_ui: str, demo_folder: Path) -> str:
    """Find the address of the study's page that `pretrieve ui` printed."""
    (address,) = re.findall(rf"{mlflow_ui}/\S+", (demo_folder.parent / "ui.txt").read_text(encoding="utf-8"))
    return address


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + STARTING_S
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended"
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5) as reply:
                if reply.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    raise AssertionError(f"{address} does not answer after {STARTING_S:.0f} s")
