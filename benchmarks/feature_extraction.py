"""Extraction by Ray Data next to a plain DataLoader loop, on real photographs; then killed; then with broken files.

    python benchmarks/feature_extraction.py --photos ../shared/data/photos

Writes real 64-pixel photographs as JPEG files, and networks with random weights (of no matter for a throughput). For
each network the loop, at the fastest of its numbers of workers, and the extraction take turns, on the same CPUs, with
the same decoding, preprocessing and batch size. Images/s count after start-up: for the loop from the end of its first
batch, for the extraction from the moment when as many shards are written as there are CPUs; both to the last image.
The ratio of the whole times of both processes, imports and start of Ray included, stands beside (goal after start-up
≥ 0.9).
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from folder_trees import load_module
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from pretrieve.backbones import Backbone, find_architecture, register_architecture
from pretrieve.backbones.state_dicts import write_weights
from pretrieve.cluster import connected
from pretrieve.data.decode import decode_square
from pretrieve.data.image_table import table_of_files
from pretrieve.features.extraction import extract_features
from pretrieve.features.forward import choose_batch_size
from pretrieve.features.stored_features import FeatureRequest
from pretrieve.training.augmentation.views import evaluation_view, to_unit_range

PHOTOGRAPHS = ("source_tinyimagenet200", "target_caltech101")
KEY = "photographs"


@dataclass(frozen=True)
class Case:
    """A network and how many images it sees: enough for the run to outlast its start-up."""

    network: str
    num_images: int
    why: str


RESNET18_64 = "resnet18_64"
CASES = (
    Case("resnet18", 3_072, "resize 256, crop 224: the network is nearly all of the work"),
    Case(RESNET18_64, 12_288, "the same at 64 px"),
    Case("small_resnet", 81_920, "32 px: reading and decoding are more of the work than the network"),
)
register_architecture(
    replace(
        find_architecture("resnet18"),
        name=RESNET18_64,
        preprocessing=replace(find_architecture("resnet18").preprocessing, resize_size=64, image_size=64),
    )
)


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        {"loop": run_loop, "extraction": run_extraction}[sys.argv[2]](json.loads(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder with photos.py and px64/*.npz")
    parser.add_argument("--cpus", type=int, default=os.cpu_count(), help="of both sides")
    parser.add_argument("--turns", type=int, default=2)
    names = [case.network for case in CASES]
    parser.add_argument("--networks", nargs="*", choices=names, default=names, help="to compare throughput on")
    arguments = parser.parse_args()
    if not (arguments.photos / "photos.py").is_file():
        sys.exit(f"the photographs must be at {arguments.photos}, but photos.py is not there")
    with tempfile.TemporaryDirectory(prefix="pretrieve-photos-") as folder:
        bench = Bench(Path(folder), write_photographs(arguments.photos, Path(folder) / "images"), arguments.cpus)
        print(f"{len(bench.files)} photographs of 64 px as JPEG files, {bench.num_cpus} CPUs, random weights")
        for case in CASES:
            if case.network in arguments.networks:
                compare(bench, case, arguments.turns)
        kill_and_resume(bench, CASES[1])
        meet_broken_files(bench, CASES[1])


def write_photographs(photos: Path, folder: Path) -> list[Path]:
    """Unpack the training photographs, one JPEG file each, and return the files."""
    loader, files = load_module(photos / "photos.py"), []
    for name in PHOTOGRAPHS:
        packed = loader.load(photos / "px64" / f"{name}.npz")
        for row in np.flatnonzero(packed["split"] == 0):
            file = folder / name / f"{packed['labels'][row]:03d}" / f"{row:06d}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(packed["images"][row]).save(file, "JPEG", quality=90)
            files.append(file)
    return files


class Bench:
    """Runs either side in a process of its own, on the same CPUs.

    Args:
      folder: for weights and features.
      files: the photographs.
      num_cpus: of either side.
    """

    def __init__(self, folder: Path, files: list[Path], num_cpus: int) -> None:
        self.folder = folder
        self.files = files
        self.num_cpus = num_cpus

    def settings(self, case: Case, **further: Any) -> dict[str, Any]:
        """Return what a child process is told; a case of more images than there are sees them again."""
        weights = self.folder / f"{case.network}.pt"
        if not weights.exists():
            torch.manual_seed(0)
            write_weights(find_architecture(case.network).build().state_dict(), weights)
        listing = self.folder / f"{case.network}-{case.num_images}.txt"
        files = [str(self.files[row % len(self.files)]) for row in range(case.num_images)]
        listing.write_text("\n".join(files), encoding="utf-8")
        common = {"network": case.network, "weights": str(weights), "files": str(listing), "num_cpus": self.num_cpus}
        return {**common, "features": str(self.folder / "features"), **further}

    def start(self, side: str, settings: dict[str, Any]) -> subprocess.Popen[str]:
        """Start one side; its processes form a group that can be killed together."""
        command = [sys.executable, __file__, "--child", side, json.dumps(settings)]
        return subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, text=True)

    def run(self, side: str, settings: dict[str, Any]) -> tuple[float, Any]:
        """Run one side to its end; return the seconds of its process, and what it printed."""
        started = time.perf_counter()
        process = self.start(side, settings)
        output, _ = process.communicate()
        if process.returncode:
            sys.exit(f"the {side} ended with status {process.returncode}")
        return time.perf_counter() - started, json.loads(output.splitlines()[-1])

    def extract(self, settings: dict[str, Any]) -> tuple[float, float]:
        """Run the extraction from nothing; return the seconds of its process, and its images/s after start-up."""
        shutil.rmtree(settings["features"], ignore_errors=True)
        whole_s, _ = self.run("extraction", settings)
        request, folder = feature_request(settings), Path(settings["features"])
        written = sorted((request.shard_path(folder, s).stat().st_mtime_ns, s) for s in range(request.num_shards))
        later = written[self.num_cpus :]
        num_images = sum(request.shard_rows(shard).num_rows for _, shard in later)
        return whole_s, num_images / ((written[-1][0] - written[self.num_cpus - 1][0]) / 1e9)


def use_cpus(num_cpus: int) -> None:
    """Keep this process and those it starts to so many CPUs, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:num_cpus]))


def feature_request(settings: dict[str, Any]) -> FeatureRequest:
    """Return the request whose shards the extraction writes."""
    files = [Path(line) for line in Path(settings["files"]).read_text(encoding="utf-8").splitlines()]
    return FeatureRequest(KEY, table_of_files(files, [0] * len(files)))


def run_extraction(settings: dict[str, Any]) -> None:
    """Child process: extract what is missing, on a Ray cluster of its own."""
    use_cpus(settings["num_cpus"])
    backbone = Backbone(settings["network"], Path(settings["weights"]), "random")
    with connected(num_cpus=settings["num_cpus"]):
        request = feature_request(settings)
        extract_features([request], backbone, Path(settings["features"]), on_progress=lambda *_: None)
    print(json.dumps(None))


class Photographs(Dataset[torch.Tensor]):
    """Decoded images, (image_size, image_size, 3) uint8."""

    def __init__(self, files: list[str], decode: Callable[[bytes], NDArray[np.uint8]]) -> None:
        self._files = files
        self._decode = decode

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, row: int) -> torch.Tensor:
        return torch.from_numpy(self._decode(Path(self._files[row]).read_bytes()).copy())


@torch.inference_mode()
def run_loop(settings: dict[str, Any]) -> None:
    """Child process: the plain loop, decoding in the workers of a DataLoader, normalising batch by batch."""
    use_cpus(settings["num_cpus"])
    torch.set_num_threads(settings["num_cpus"])
    network = Backbone(settings["network"], Path(settings["weights"]), "random").load().eval()
    network = network.to(memory_format=torch.channels_last)
    preprocessing = find_architecture(settings["network"]).preprocessing
    files = Path(settings["files"]).read_text(encoding="utf-8").splitlines()[: settings.get("num_images")]
    photographs = Photographs(files, lambda content: decode_square(content, preprocessing.resize_size))
    features, started = [], 0.0
    batch_size = choose_batch_size(preprocessing, torch.device("cpu"))
    for images in DataLoader(photographs, batch_size=batch_size, num_workers=settings["num_workers"]):
        pixels = evaluation_view(to_unit_range(images, torch.device("cpu")), preprocessing)
        features.append(network(pixels.contiguous(memory_format=torch.channels_last)).numpy())
        started = started or time.perf_counter()
    rate = (len(files) - len(features[0])) / (time.perf_counter() - started)
    np.save(Path(settings["weights"]).with_suffix(".npy"), np.concatenate(features))
    print(json.dumps(rate))


def compare(bench: Bench, case: Case, turns: int) -> None:
    """Let both sides take turns, and print their ratio."""
    settings = bench.settings(case)
    num_workers = fastest_num_workers(bench, case, settings)
    print(f"\n{case.network} ({case.why}), {case.num_images} images, the loop with {num_workers} workers", flush=True)
    ratios, whole_ratios = [], []
    for turn in range(turns):
        loop_s, loop_rate = bench.run("loop", {**settings, "num_workers": num_workers})
        extraction_s, extraction_rate = bench.extract(settings)
        ratios.append(extraction_rate / loop_rate)
        whole_ratios.append(loop_s / extraction_s)
        print(
            f"  turn {turn + 1}: extraction {extraction_rate:.1f} images/s / loop {loop_rate:.1f} = {ratios[-1]:.2f} "
            f"after start-up; whole time {loop_s:.1f} s / {extraction_s:.1f} s = {whole_ratios[-1]:.2f}",
            flush=True,
        )
    difference = np.abs(features_of(settings) - np.load(Path(settings["weights"]).with_suffix(".npy"))).max()
    print(
        f"  median ratio after start-up {statistics.median(ratios):.2f} (goal ≥ 0.9), of whole times "
        f"{statistics.median(whole_ratios):.2f}; features differ by at most {difference:.1e}"
    )


def fastest_num_workers(bench: Bench, case: Case, settings: dict[str, Any]) -> int:
    """Try the loop with no worker, one for two CPUs and one a CPU on a sixth of the images."""
    rates = {}
    for num_workers in sorted({0, max(1, bench.num_cpus // 2), bench.num_cpus}):
        tried = {**settings, "num_workers": num_workers, "num_images": case.num_images // 6}
        rates[num_workers] = bench.run("loop", tried)[1]
    return max(rates, key=lambda number: rates[number])


def features_of(settings: dict[str, Any]) -> NDArray[np.float32]:
    """Read all features that the extraction wrote."""
    return np.concatenate([b.features for b in feature_request(settings).blocks(Path(settings["features"]))])


def kill_and_resume(bench: Bench, case: Case) -> None:
    """Kill the extraction when half of its shards exist, run it again, and print what that computed."""
    settings = bench.settings(case)
    request, folder = feature_request(settings), Path(settings["features"])
    shutil.rmtree(folder, ignore_errors=True)
    process = bench.start("extraction", settings)
    while len(request.missing_shards(folder)) > request.num_shards // 2:
        if process.poll() is not None:
            sys.exit("the extraction ended before it was killed")
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = settled_shards(request, folder)
    bench.run("extraction", settings)
    after = settled_shards(request, folder)
    untouched = sum(after[path] == modified for path, modified in before.items())
    print(
        f"\nkilled with {len(before)} of {request.num_shards} shards written; run again it computed "
        f"{len(after) - untouched} ({request.num_shards - len(before)} were missing) and left {untouched} untouched"
    )


def settled_shards(request: FeatureRequest, folder: Path) -> dict[Path, int]:
    """Return the time of change of each shard, once no process that outlived its parent adds another."""
    shards: dict[Path, int] | None = None
    while True:
        paths = [request.shard_path(folder, shard) for shard in range(request.num_shards)]
        now = {path: path.stat().st_mtime_ns for path in paths if path.exists()}
        if now == shards:
            return now
        shards = now
        time.sleep(3)


def meet_broken_files(bench: Bench, case: Case) -> None:
    """Put five broken files among the photographs, and print what the extraction says of them."""
    settings = bench.settings(case)
    broken = write_broken_files(bench.files[0], bench.folder / "broken")
    files = Path(settings["files"]).read_text(encoding="utf-8").splitlines()
    for number, file in enumerate(broken):
        files.insert(1 + number * len(files) // len(broken), str(file))
    Path(settings["files"]).write_text("\n".join(files), encoding="utf-8")
    bench.extract(settings)
    named = [line for block in feature_request(settings).blocks(Path(settings["features"])) for line in block.broken]
    print(
        f"\nwith {len(broken)} broken files among {len(files)} it finished; "
        f"{len(features_of(settings))} have features, {len(named)} are named:"
    )
    for line in named:
        print(f"  {line.removeprefix(str(bench.folder) + os.sep)}")
    if {line.split(": ")[0] for line in named} != {str(file) for file in broken}:
        sys.exit("these are not the broken files")


def write_broken_files(photograph: Path, folder: Path) -> list[Path]:
    """Break a photograph in five ways."""
    content, png = photograph.read_bytes(), io.BytesIO()
    Image.open(photograph).save(png, "PNG")
    kinds = {
        "cut.jpg": content[: len(content) // 2],
        "empty.jpg": b"",
        "text.jpg": b"<html>404 Not Found</html>",
        "header.jpg": b"\x00\x00" + content[2:],
        "cut.png": png.getvalue()[:-2000],
    }
    folder.mkdir(exist_ok=True)
    for name, broken in kinds.items():
        (folder / name).write_bytes(broken)
    return [folder / name for name in kinds]


if __name__ == "__main__":
    main()
