"""A model served over HTTP by MLflow in an environment that has neither Pretrieve nor Ray."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from ports import free_port
from small_model import CLASS_NAMES, SmallModel

pytestmark = pytest.mark.clusters

ABSENT = ("pretrieve", "pretrieve_selection", "pretrieve_dashboards", "ray")

BLOCKER = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with this one's packages, but without Pretrieve and Ray.

    It finds the folder of these packages, not what their .pth files add, such as an editable install of Pretrieve.
    """
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = (folder / "lib").glob("python*/site-packages")
    (packages / "absent.py").write_text(BLOCKER, encoding="utf-8")
    (packages / "packages.pth").write_text(f"{Path(torch.__file__).parents[1]}\nimport absent\n", encoding="utf-8")
    # MLflow starts its server by this name; pip would have written such a file.
    server = folder / "bin" / "uvicorn"
    server.write_text(f'#!/bin/sh\nexec "{folder}/bin/python" -m uvicorn "$@"\n', encoding="utf-8")
    server.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def bare(environment: Path) -> dict[str, str]:
    """The variables of the environment's processes: nothing of this one's points to Pretrieve."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MLFLOW", "RAY"))}
    return {**kept, "PATH": f"{environment / 'bin'}:{os.environ['PATH']}", "VIRTUAL_ENV": str(environment)}


@pytest.fixture(scope="module")
def address(
    small_model: SmallModel, environment: Path, bare: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    port, folder = free_port(), tmp_path_factory.mktemp("server")
    model = ["-m", str(small_model.folder), "--env-manager", "local", "-h", "127.0.0.1", "-p", str(port), "-w", "1"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [environment / "bin" / "python", "-m", "mlflow", "models", "serve", *model],
            env=bare, cwd=folder, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            _wait_until_it_answers(f"http://127.0.0.1:{port}/ping", server, folder / "log")
            yield f"http://127.0.0.1:{port}/invocations"
        finally:
            os.killpg(server.pid, 15)
            server.wait(timeout=60)


def _wait_until_it_answers(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end_s = time.monotonic() + 300
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10):
                return
        except (URLError, OSError):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < end_s, log.read_text()
            time.sleep(0.5)


def ask(address: str, images: list[bytes], **params: Any) -> list[dict[str, Any]]:
    rows = [[base64.b64encode(content).decode()] for content in images]
    body = {"dataframe_split": {"columns": ["image"], "data": rows}, "params": params}
    request = urllib.request.Request(
        address, json.dumps(body).encode(), headers={"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        predictions: list[dict[str, Any]] = json.load(answer)["predictions"]
    return predictions


@pytest.mark.parametrize("name", ABSENT)
def test_the_environment_lacks_it(name: str, environment: Path, bare: dict[str, str]) -> None:
    done = subprocess.run(
        [environment / "bin" / "python", "-c", f"import {name}"], env=bare, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert f"ModuleNotFoundError: No module named '{name}'" in done.stderr


def test_a_model_is_served_where_pretrieve_was_never_installed(small_model: SmallModel, address: str) -> None:
    images, labels = small_model.images[:20], small_model.labels[:20]
    found = ask(address, images)
    assert [row["class_name"] for row in found] == [CLASS_NAMES[label] for label in labels]
    likelihoods = (small_model.class_scores(images) / 2).softmax(1).max(1).values
    assert [row["probability"] for row in found] == pytest.approx(likelihoods.tolist(), rel=1e-5)
    good, broken = ask(address, [images[0], b"no image"], broken_images="skip", class_scores=True, abstain_below=1.0)
    assert (good["class_name"], good["class_index"], good["error"]) == (None, -1, "")
    assert good["class_scores"] == pytest.approx(small_model.class_scores(images[:1])[0].tolist(), rel=1e-5)
    assert "cannot identify image file" in broken["error"]
