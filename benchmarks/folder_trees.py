"""A newcomer's own data: real photographs as folder trees, run from a study file to its table.

    python benchmarks/folder_trees.py --photos ../shared/data/photos

Writes the source (40 classes of the 200-class ImageNet subset) and two targets (10 monkeys, 10 textures) at 32 px as
train/<class>/*.png, writes a study file beside them, and runs `pretrieve run` on it: a small network is pre-trained on
the source, and a grid of two learning rates searched for each of 2 targets × 4 methods.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import yaml

NUM_SOURCE_CLASSES = 40
SOURCE = "source_tinyimagenet200"
TARGETS = {"monkeys": "target_monkeys10", "textures": "target_dtd10"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder with photos.py and px32/*.npz")
    parser.add_argument("--storage", type=Path, default=Path("pretrieve-runs"), help="where trees and results go")
    arguments = parser.parse_args()
    if not (arguments.photos / "photos.py").is_file():
        sys.exit(f"the photographs must be at {arguments.photos}, but photos.py is not there")
    trees = arguments.storage.absolute() / "folder_trees"
    write_trees(arguments.photos, trees)
    (trees / "study.yaml").write_text(yaml.safe_dump(study()), encoding="utf-8")
    command = [sys.executable, "-m", "pretrieve", "run", str(trees / "study.yaml")]
    started = time.perf_counter()
    status = subprocess.run([*command, "--storage", str(arguments.storage.absolute())], check=False).returncode
    print(f"\nstudy on folder trees: {time.perf_counter() - started:.0f} s, exit status {status}")
    sys.exit(status)


def study() -> dict[str, object]:
    """Return the study file as a mapping."""
    return {
        "name": "folder-trees",
        "source": {"folder": "source"},
        "targets": [{"folder": name} for name in TARGETS],
        "backbone": {"name": "small_resnet", "pretrain": {"epochs": 12, "batch_size": 128, "lr": 0.1}},
        "methods": ["finetune", "random", "greedy_ot", "uot"],
        "selection": {"top_k": 10},
        "grid": {"lr": [0.03, 0.01], "weight_decay": [1e-4], "source_weight": [1.0], "head_lr_ratio": [10.0]},
        "training": {"epochs": 15, "batch_size": 32, "augmentation": {"crop_area": [0.3, 1.0]}},
        "refit": {"num_seeds": 2},
    }


def write_trees(photos: Path, trees: Path) -> None:
    """Unpack the photographs once."""
    loader = load_module(photos / "photos.py")
    for name, file in {"source": SOURCE, **TARGETS}.items():
        if (trees / name).exists():
            continue
        packed = loader.load(photos / "px32" / f"{file}.npz")
        if name == "source":
            packed = first_classes(packed, NUM_SOURCE_CLASSES)
        loader.write_folders(packed, trees / name)


def first_classes(packed: dict[str, object], count: int) -> dict[str, object]:
    """Keep the images of the first classes."""
    labels = np.asarray(packed["labels"])
    kept = labels < count
    arrays = {name: np.asarray(packed[name])[kept] for name in ("images", "labels", "split")}
    return {**packed, **arrays}


def load_module(path: Path) -> ModuleType:
    """Import a module from its file."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
