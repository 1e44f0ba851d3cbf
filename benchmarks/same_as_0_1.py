"""Whether this checkout trains exactly what version 0.1 trained: the same small study by both, compared bit by bit.

    python benchmarks/same_as_0_1.py

Takes the packages of version 0.1 from git, so it needs a clone with its history, and runs them in the present
environment. Each version runs the study on its own, from the pre-training of the backbone on, with the paper's protocol
at a small size: the methods `finetune`, `random`, `uot` and `co_tuning`, a grid of learning rates, two decays. For each
cell it prints whether the selected classes, the losses and scores of all epochs of all trials and refits, the scores in
`table.csv` and the weights of the refits are equal, or the largest difference. A finished trial removes its checkpoint,
so its weights are compared by the losses that they gave. Exits with 1 if anything differs. Takes about three minutes on
two calm CPU cores, most of it the two pre-trainings.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mlflow import MlflowClient

from pretrieve.artifacts.sealed_files import MAGIC, read_sealed
from pretrieve.tracking import schema

ROOT = Path(__file__).resolve().parents[1]
VERSION_0_1 = "f3193deeb7d11c57e391691b7357ee304cd7c997"
PACKAGES = ("platform", "selection", "dashboards")
METHODS = ("finetune", "random", "uot", "co_tuning")
STUDY = "study.yaml"  # JSON, which is YAML too
PARTS = ("selection", "epochs", "table", "weights")
SCORES = ("test_mean", "best_val_score", "num_refits", "num_finished", "lr", "weight_decay", "source_weight")
"""Columns of `table.csv` that are compared: those that say nothing of time."""
HYPERPARAMETERS = ("lr", "weight_decay", "head_lr_ratio", "source_weight", "top_k")
CURVES = (schema.LOSS_TARGET, schema.LOSS_SOURCE, schema.VAL_SCORE, schema.TEST_SCORE)
EQUAL = 0.0
MISSING = float("inf")
"""The difference between something and nothing."""

Cell = tuple[str, str]
Parts = dict[str, dict[Any, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", nargs="+", default=["digits", "greek"], help="targets of the demo")
    parser.add_argument("--epochs", type=int, default=5, help="of each trial and refit; 5 or more have both decays")
    parser.add_argument("--commit", default=VERSION_0_1, help="the version to compare with (default: 0.1)")
    parser.add_argument("--folder", type=Path, help="keep both studies in this new folder (default: a temporary one)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        unpack(arguments.commit, folder / "packages")
        (folder / STUDY).write_text(json.dumps(study(arguments.targets, arguments.epochs)), encoding="utf-8")
        old = run(folder / "packages", folder, "0.1")
        new = run(ROOT, folder, "now")
        differences = compare(old, new)
        backbone = largest_difference(read_backbone(old), read_backbone(new))
    print(f"weights of the pre-trained backbone: {describe(backbone)}")
    for row in table(differences):
        print(row)
    if backbone != EQUAL or any(value != EQUAL for parts in differences.values() for value in parts.values()):
        sys.exit("the two versions differ")


def unpack(commit: str, folder: Path) -> None:
    """Write the packages of a commit into a folder."""
    archive = subprocess.run(["git", "archive", commit, *PACKAGES], cwd=ROOT, capture_output=True)
    if archive.returncode:
        why = archive.stderr.decode().strip()
        sys.exit(f"version 0.1 must be in git, but commit {commit} is not ({why}); fetch the whole history first")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")


def study(targets: Sequence[str], epochs: int) -> dict[str, Any]:
    """Return the study, in the words of version 0.1. Sums depend on the number of threads, so that is given."""
    augmentation = {"crop_area": [0.6, 1.0], "flip": False}
    pretraining = {"epochs": 1, "batch_size": 128, "lr": 0.1, "weight_decay": 1e-4, "augmentation": augmentation}
    grid = {"lr": [0.03, 0.01], "weight_decay": [1e-4], "source_weight": [0.3], "co_tuning_lr": [0.01]}
    return {
        "name": "same",
        "source": "characters",
        "targets": list(targets),
        "backbone": {"name": "small_resnet", "pretrain": pretraining},
        "methods": list(METHODS),
        "selection": {"top_k": 40},
        "grid": {**grid, "head_lr_ratio": [1.0]},
        "training": {"epochs": epochs, "batch_size": 32, "augmentation": augmentation},
        "refit": {"num_seeds": 1},
        "compute": {"cpus_per_trial": 1},
    }


def run(packages: Path, folder: Path, name: str) -> Path:
    """Run the study by the packages in a folder, and return the folder of its results."""
    storage, started = folder / name, time.perf_counter()
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "MLFLOW_"))}
    environment["PYTHONPATH"] = os.pathsep.join(str(packages / package) for package in PACKAGES)
    command = [sys.executable, "-m", "pretrieve", "run", str(folder / STUDY), "--storage", str(storage)]
    done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        sys.exit(f"the study must end well, but version {name} ended with:\n{done.stdout.decode()[-3000:]}")
    print(f"version {name}: {time.perf_counter() - started:.0f} s")
    return storage / "same"


def compare(old: Path, new: Path) -> dict[Cell, dict[str, float]]:
    """Return the largest difference of each part of each cell; 0 if the part is equal to the bit."""
    one, other = read_study(old), read_study(new)
    if set(one) != set(other):
        sys.exit(f"the studies must have the same cells, but one has {sorted(one)} and the other {sorted(other)}")
    num_runs = sum(len(parts["epochs"]) for parts in other.values())
    num_tensors = sum(len(weights) for parts in other.values() for weights in parts["weights"].values())
    print(f"compared: {len(other)} cells, {num_runs} trials and refits, {num_tensors} tensors of refits")
    return {cell: {part: largest_difference(one[cell][part], other[cell][part]) for part in PARTS} for cell in one}


def read_study(folder: Path) -> dict[Cell, Parts]:
    """Read what a study came to: of each cell its parts, each as numbers by what names them in both versions."""
    cells: dict[Cell, Parts] = {}
    with (folder / "table.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            parts: Parts = {part: {} for part in PARTS}
            parts["table"] = {name: float(row[name]) for name in SCORES if row[name]}
            cells[row["target"], row["method"]] = parts
    for (target, method), parts in cells.items():
        file_of_selection = folder / "selections" / target / f"{method}.json"
        if file_of_selection.exists():  # some methods select nothing
            selection = json.loads(file_of_selection.read_text(encoding="utf-8"))
            parts["selection"] = {name: selection[name] for name in ("groups", "num_images")}
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("same")
    assert experiment is not None, "the study has ended, so it is recorded"
    for each in client.search_runs([experiment.experiment_id]):
        tags, kind = each.data.tags, each.data.tags[schema.TAG_KIND]
        if kind not in (schema.KIND_TRIAL, schema.KIND_REFIT):
            continue
        parts = cells[tags[schema.TAG_TARGET], tags[schema.TAG_METHOD]]
        values = tuple(each.data.params.get(name) for name in HYPERPARAMETERS)
        run_name = (kind, each.data.params["seed"], *values)
        parts["epochs"][run_name] = {name: curve(client, each.info.run_id, name) for name in CURVES}
        if kind == schema.KIND_REFIT:
            parts["weights"][run_name] = load(folder / "refits" / f"{tags[schema.TAG_KEY]}.pt")
    if not all(parts["weights"] for parts in cells.values()):
        sys.exit(f"each cell must have been refitted, but one of {folder} was not; run the comparison again")
    return cells


def curve(client: MlflowClient, run_id: str, name: str) -> list[float]:
    """Return a metric of a run after each epoch."""
    return [point.value for point in sorted(client.get_metric_history(run_id, name), key=lambda point: point.step)]


def read_backbone(folder: Path) -> Any:
    """Load the weights of the network that a study pre-trained."""
    (path,) = (folder.parent / "cache" / "backbones").glob("*/weights.pt")
    return load(path)


def load(path: Path) -> Any:
    """Load weights, sealed as the present version writes them, or not, as version 0.1 did."""
    content = path.read_bytes()
    is_sealed = content.endswith(MAGIC)
    return torch.load(io.BytesIO(read_sealed(path) if is_sealed else content), map_location="cpu", weights_only=True)


def largest_difference(one: Any, other: Any) -> float:
    """Compare two trees of numbers and tensors: 0 if equal to the bit, infinite if the trees are not the same."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        if set(one) != set(other):
            return MISSING
        return max((largest_difference(one[name], other[name]) for name in one), default=EQUAL)
    if isinstance(one, list) and isinstance(other, list):
        if len(one) != len(other):
            return MISSING
        return max(map(largest_difference, one, other), default=EQUAL)
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        if (one.shape, one.dtype) != (other.shape, other.dtype):
            return MISSING
        return EQUAL if torch.equal(one, other) else distance(float((one.double() - other.double()).abs().max()))
    return EQUAL if one == other else distance(abs(one - other))


def distance(difference: float) -> float:
    """Return the difference of two things that differ; of what has no distance, such as NaN, infinity."""
    return difference if difference > EQUAL else MISSING


def table(differences: Mapping[Cell, Mapping[str, float]]) -> list[str]:
    """Write one line per cell."""
    head = f"{'target':12}{'method':12}" + "".join(f"{part:>16}" for part in PARTS)
    lines = [
        f"{target:12}{method:12}" + "".join(f"{describe(parts[part]):>16}" for part in PARTS)
        for (target, method), parts in differences.items()
    ]
    return [head, *lines]


def describe(difference: float) -> str:
    if difference == EQUAL:
        return "equal"
    return "not the same" if difference == MISSING else f"up to {difference:.2g}"


if __name__ == "__main__":
    main()
