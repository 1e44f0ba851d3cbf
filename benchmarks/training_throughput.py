"""Our trial next to a plain training script, on real photographs: images/s, and where the time goes.

    python benchmarks/training_throughput.py --photos ../shared/data/photos

Both train the same network with two heads (eq. 6) for the same number of steps on the same batches' sizes: 64-pixel
photographs of Caltech-101 and of the 200-class ImageNet subset. The plain script reads JPEG files through ImageFolder,
transforms each image by itself in the workers of a DataLoader (the fastest of several numbers of them), and trains in
float32. Each side is a process of its own on the same CPUs or GPU; they take turns, and images/s count after the first
steps (goal ≥ 1.5 on a CPU, ≥ 5 on a GPU). What part of that is the network's own arithmetic shows beside: the plain
script with our memory format and, on a GPU, our precision.

Beside it stand the share of our time that is neither forward, backward nor optimizer step (goal ≤ 5 %; on a GPU the
next figure tells more, as its work is queued), our speed
next to the same loop on tensors that are on the device already, and the loop's own input side alone: an epoch from the
image cache next to one that decodes each image every time (goal ≤ 0.5).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from feature_extraction import use_cpus
from folder_trees import load_module
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from pretrieve.backbones import Preprocessing, find_architecture
from pretrieve.components import OBJECTIVES
from pretrieve.data.decode import decode_whole
from pretrieve.data.image_table import table_of_files
from pretrieve.image_cache.cached_images import CachedImages
from pretrieve.image_cache.entries import CacheEntry, write_entry
from pretrieve.training.fine_tuning import FineTuning, LabelledImages
from pretrieve.training.loop import fine_tune
from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.settings import Hyperparameters, TrainingSettings
from pretrieve.training.step_inputs import EpochInputs

SETS = {"target": "target_caltech101", "source": "source_tinyimagenet200"}
MAX_SOURCE_CLASSES = 100
WARM_UP_STEPS = 3


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        CHILDREN[sys.argv[2]](json.loads(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder with photos.py and px64/*.npz")
    parser.add_argument("--cpus", type=int, default=os.cpu_count(), help="of both sides")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--networks", nargs="*", default=["resnet18@64", "efficientnet_lite0@64"])
    parser.add_argument("--batch", type=int, default=32, help="target images a step, and as many of the source")
    parser.add_argument("--steps", type=int, default=20, help="that count, after the first few")
    parser.add_argument(
        "--workers", type=int, nargs="*", help="of the DataLoader, to try; default 0, half and all CPUs"
    )
    arguments = parser.parse_args()
    if not (arguments.photos / "photos.py").is_file():
        sys.exit(f"the photographs must be at {arguments.photos}, but photos.py is not there")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    print(f"{device}, {arguments.cpus} CPU cores, {arguments.batch} + {arguments.batch} images a step")
    with tempfile.TemporaryDirectory(prefix="pretrieve-photos-") as folder:
        write_photographs(arguments.photos, Path(folder))
        for network in arguments.networks:
            compare(network, Path(folder), arguments)


def write_photographs(photos: Path, folder: Path) -> None:
    """Unpack training photographs as JPEG files folder/<side>/<class>/*.jpg, and as arrays."""
    loader = load_module(photos / "photos.py")
    for side, name in SETS.items():
        packed = loader.load(photos / "px64" / f"{name}.npz")
        kept = (packed["split"] == 0) & (packed["labels"] < MAX_SOURCE_CLASSES + 1)
        images, labels = packed["images"][kept], packed["labels"][kept]
        for row, (image, label) in enumerate(zip(images, labels, strict=True)):
            file = folder / side / f"{label:03d}" / f"{row:05d}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(file, "JPEG", quality=90)


def compare(network: str, folder: Path, arguments: argparse.Namespace) -> None:
    """Let the sides take turns, and print their ratios."""
    settings: dict[str, Any] = {
        "network": network,
        "folder": str(folder),
        "cpus": arguments.cpus,
        "batch": arguments.batch,
        "steps": arguments.steps,
    }
    tried = arguments.workers or sorted({0, max(1, arguments.cpus // 2), arguments.cpus})
    trials = {number: run("plain", {**settings, "num_workers": number})["images_per_s"] for number in tried}
    num_workers = max(trials, key=lambda number: trials[number])
    print(f"\n{network}: the plain script with {num_workers} workers (of {', '.join(map(str, tried))})", flush=True)
    rows = []
    for turn in range(arguments.turns):
        plain = run("plain", {**settings, "num_workers": num_workers})
        tuned = run("plain", {**settings, "num_workers": num_workers, "is_tuned": True})
        ours, resident = run("ours", settings), run("resident", settings)
        rows.append((ours, plain, resident, tuned))
        print(
            f"  turn {turn + 1}: ours {ours['images_per_s']:.1f} images/s / plain {plain['images_per_s']:.1f} = "
            f"{ours['images_per_s'] / plain['images_per_s']:.2f}; / plain with our memory format and precision "
            f"{ours['images_per_s'] / tuned['images_per_s']:.2f}; / the loop on ready tensors "
            f"{ours['images_per_s'] / resident['images_per_s']:.2f}; neither forward, backward "
            f"nor step {ours['other_share']:.1%}",
            flush=True,
        )
    ratios, ready, tuned_ratios = (
        [row[0]["images_per_s"] / row[other]["images_per_s"] for row in rows] for other in (1, 2, 3)
    )
    other = [row[0]["other_share"] for row in rows]
    inputs = run("inputs", settings)
    print(
        f"  median ours / plain {statistics.median(ratios):.2f}, / plain with our memory format and precision "
        f"{statistics.median(tuned_ratios):.2f}, / ready tensors {statistics.median(ready):.2f}; neither forward, "
        f"backward nor step {statistics.median(other):.1%} (goal ≤ 5 %)\n"
        f"  an epoch's inputs alone: from the cache {inputs['cached_s']:.2f} s / decoding each time "
        f"{inputs['decoded_s']:.2f} s = {inputs['cached_s'] / inputs['decoded_s']:.2f} (goal ≤ 0.5)",
        flush=True,
    )


def run(side: str, settings: dict[str, Any]) -> dict[str, float]:
    """Run one side in a process of its own; return what it measured."""
    command = [sys.executable, __file__, "--child", side, json.dumps(settings)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"the side {side!r} ended with status {done.returncode}")
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def device_of() -> torch.device:
    """Return the GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def synchronise() -> None:
    """Wait for what a GPU still has to do."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def run_plain(settings: dict[str, Any]) -> None:
    """Child process: the usual script."""
    use_cpus(settings["cpus"])
    torch.set_num_threads(settings["cpus"])
    architecture, device = find_architecture(settings["network"]), device_of()
    loaders = [
        DataLoader(
            ImageFolder(Path(settings["folder"]) / side, plain_transforms(architecture.preprocessing)),
            batch_size=settings["batch"],
            shuffle=True,
            drop_last=True,
            num_workers=settings["num_workers"],
            pin_memory=device.type == "cuda",
            persistent_workers=settings["num_workers"] > 0,
        )
        for side in SETS
    ]
    torch.manual_seed(0)
    is_tuned = settings.get("is_tuned", False)
    layout = torch.channels_last if is_tuned else torch.contiguous_format
    backbone = architecture.build().to(device).to(memory_format=layout)
    heads = [torch.nn.Linear(architecture.feature_dim, 101).to(device) for _ in SETS]
    parameters = [*backbone.parameters(), *heads[0].parameters(), *heads[1].parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.003, momentum=0.9, nesterov=True, weight_decay=1e-4)
    streams = [chain.from_iterable(repeat(loader)) for loader in loaders]
    started = 0.0
    for step in range(WARM_UP_STEPS + settings["steps"]):
        if step == WARM_UP_STEPS:
            synchronise()
            started = time.perf_counter()
        (images, labels), (source_images, source_labels) = (next(stream) for stream in streams)
        pixels = torch.cat([images, source_images]).to(device).contiguous(memory_format=layout)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=is_tuned and device.type == "cuda"):
            target_features, source_features = backbone(pixels).split([len(images), len(source_images)])
            loss = F.cross_entropy(heads[0](target_features), labels.to(device))
            loss = loss + F.cross_entropy(heads[1](source_features), source_labels.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()  # as scripts do that print it
    synchronise()
    print(json.dumps({"images_per_s": 2 * settings["batch"] * settings["steps"] / (time.perf_counter() - started)}))


def plain_transforms(preprocessing: Preprocessing) -> Callable[[Any], Any]:
    """Return the usual transforms of one image."""
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(preprocessing.image_size),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(preprocessing.mean, preprocessing.std),
        ]
    )


def cached(settings: dict[str, Any], side: str) -> CachedImages:
    """Open a side's photographs in the image cache, decoded at the network's working size at the first call."""
    size = find_architecture(settings["network"]).preprocessing.resize_size
    entry = Path(settings["folder"]) / "cache" / f"{side}-{size}"
    if not entry.exists():
        files = sorted((Path(settings["folder"]) / side).glob("*/*.jpg"))
        table = table_of_files(files, [int(file.parent.name) for file in files])
        write_entry(CacheEntry(entry.name, table, size, layout="whole"), entry)
    return CachedImages([entry])


def make_work(
    settings: dict[str, Any], target: LabelledImages, source: LabelledImages, *, num_steps: int
) -> FineTuning:
    """Build a trial of one epoch of that many steps."""
    architecture, device = find_architecture(settings["network"]), device_of()
    torch.manual_seed(0)
    hyperparameters = Hyperparameters(lr=0.003, weight_decay=1e-4, source_weight=1.0)
    network = TwoHeadNetwork(
        architecture.build(),
        feature_dim=architecture.feature_dim,
        num_target_classes=101,
        num_source_classes=101,
        generator=torch.Generator().manual_seed(0),
    ).to(device)
    return FineTuning(
        network=network,
        objective=OBJECTIVES.find("joint").build(hyperparameters, None),
        target=FirstImages(target, num_steps * settings["batch"]),
        source=source,
        preprocessing=architecture.preprocessing,
        settings=TrainingSettings(epochs=1, batch_size=settings["batch"]),
        hyperparameters=hyperparameters,
        seed=0,
        device=device,
    )


class FirstImages:
    """So many images of a set, the set repeated where it is too small: an epoch of a wanted length."""

    def __init__(self, images: LabelledImages, count: int) -> None:
        self._images = images
        self._rows = torch.arange(count) % len(images)

    @property
    def labels(self) -> torch.Tensor:
        """(N,) int64."""
        return self._images.labels[self._rows]

    @property
    def aspects(self) -> torch.Tensor:
        """(N,) width / height of the originals."""
        return self._images.aspects[self._rows]

    def gather(self, indices: torch.Tensor) -> torch.Tensor:
        """Return the images at these indices."""
        return self._images.gather(self._rows[indices])

    def __len__(self) -> int:
        return len(self._rows)


def run_ours(settings: dict[str, Any]) -> None:
    """Child process: our loop, after one of a few steps that warms up."""
    use_cpus(settings["cpus"])
    torch.set_num_threads(settings["cpus"])
    target, source = cached(settings, "target"), cached(settings, "source")
    fine_tune(make_work(settings, target, source, num_steps=WARM_UP_STEPS))
    reports: list[Any] = []
    fine_tune(make_work(settings, target, source, num_steps=settings["steps"]), callbacks=[reports.append])
    synchronise()
    report = reports[0]
    in_steps_s = report.part_s["forward"] + report.part_s["backward"]  # the backward part holds the optimizer's step
    other = 1.0 - in_steps_s / report.elapsed_s
    print(json.dumps({"images_per_s": report.num_images / report.elapsed_s, "other_share": other}))


def run_resident(settings: dict[str, Any]) -> None:
    """Child process: our loop on one step's batches that are on the device already."""
    use_cpus(settings["cpus"])
    torch.set_num_threads(settings["cpus"])
    target, source = cached(settings, "target"), cached(settings, "source")
    ready = next(iter(EpochInputs(make_work(settings, target, source, num_steps=1), 0)))
    EpochInputs.__iter__ = lambda self: repeat(ready)  # type: ignore[method-assign, assignment]
    run_ours(settings)


class DecodedEachTime:
    """Photographs decoded whenever they are asked for."""

    def __init__(self, settings: dict[str, Any], side: str) -> None:
        self._files = sorted((Path(settings["folder"]) / side).glob("*/*.jpg"))
        self._size = find_architecture(settings["network"]).preprocessing.resize_size
        self.labels = torch.tensor([int(file.parent.name) for file in self._files])
        self.aspects = torch.ones(len(self._files))

    def gather(self, indices: torch.Tensor) -> torch.Tensor:
        """Decode the images at these indices."""
        squares = [decode_whole(self._files[row].read_bytes(), self._size)[0] for row in indices.tolist()]
        return torch.from_numpy(np.stack(squares))

    def __len__(self) -> int:
        return len(self._files)


def run_inputs(settings: dict[str, Any]) -> None:
    """Child process: an epoch's inputs without a network, from the cache and decoded each time."""
    use_cpus(settings["cpus"])
    opened = [cached(settings, side) for side in SETS]
    decoded = [DecodedEachTime(settings, side) for side in SETS]
    measured = {"cached_s": opened, "decoded_s": decoded}
    seconds = {name: min(epoch_seconds(settings, *sides) for _ in range(3)) for name, sides in measured.items()}
    print(json.dumps(seconds))


def epoch_seconds(settings: dict[str, Any], target: LabelledImages, source: LabelledImages) -> float:
    """Make all inputs of an epoch; return the seconds."""
    work = make_work(settings, target, source, num_steps=len(target) // settings["batch"])
    started = time.perf_counter()
    inputs: Iterator[Any] = iter(EpochInputs(work, 0))
    for _ in inputs:
        pass
    synchronise()
    return time.perf_counter() - started


CHILDREN = {"plain": run_plain, "ours": run_ours, "resident": run_resident, "inputs": run_inputs}

if __name__ == "__main__":
    main()
