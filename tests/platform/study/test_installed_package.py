"""A package that pip installed brings a target and a network, and `pretrieve run` makes a finished study of them."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.slow

MODULE = """
import numpy as np
import pretrieve as pt
from torch import nn


def stripes() -> pt.ImageSet:
    rng = np.random.default_rng(0)
    labels = np.arange(36) % 3
    pixels = (labels[:, None, None, None] * 80 + rng.integers(0, 40, (36, 16, 16, 3))).astype(np.uint8)
    examples = zip(pixels, (f"kind {label}" for label in labels))
    return pt.image_set_from_examples("stripes", examples, test_fraction=0.3)


class Network(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


network = pt.Architecture("a word", 6, pt.Preprocessing(16, 16, mean=(0.5,) * 3, std=(0.25,) * 3), Network)
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Install the package of a wheel into a folder of its own."""
    wheel, info = tmp_path / "plugged_in-1.0-py3-none-any.whl", "plugged_in-1.0.dist-info"
    points = (
        "[pretrieve.targets]\nstripes = plugged_in:stripes\n[pretrieve.backbones]\nplugged_net = plugged_in:network\n"
    )
    files = {
        "plugged_in.py": MODULE,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: plugged-in\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": points,
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in {**files, f"{info}/RECORD": "".join(f"{name},,\n" for name in files)}.items():
            archive.writestr(name, content)
    site = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet", "--target", str(site)]
    subprocess.run([*command, str(wheel)], check=True, capture_output=True, timeout=120)
    return site


def test_target_and_network_of_an_installed_package_become_a_finished_study(site: Path, tmp_path: Path) -> None:
    study = {
        "name": "plugged",
        "source": {"registered": "stripes", "name": "source"},
        "targets": ["stripes"],
        "backbone": {"name": "plugged_net", "pretrain": {"epochs": 1, "batch_size": 8, "lr": 0.02}},
        "methods": ["finetune", "uot"],
        "selection": {"top_k": 2},
        "grid": {"lr": [0.01], "weight_decay": [0.0], "source_weight": [0.5]},
        "training": {"epochs": 1, "batch_size": 8},
        "refit": {"num_seeds": 1},
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment["PYTHONPATH"] = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "pretrieve", "run", "study.yaml", "--storage", str(tmp_path / "runs")]
    out = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert out.returncode == 0, out.stdout + out.stderr
    rows = (tmp_path / "runs" / "plugged" / "table.csv").read_text(encoding="utf-8").splitlines()
    assert {tuple(row.split(",")[:2]) for row in rows[1:]} == {("stripes", "finetune"), ("stripes", "uot")}
