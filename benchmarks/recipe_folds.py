"""How the recipe `standard` was chosen: one change at a time, scored on photographs of the training set left undrawn.

    python benchmarks/recipe_folds.py --photos ../shared/data/photos --results recipe-folds
    python benchmarks/recipe_folds.py --photos … --results recipe-folds --changes start,lr_0.003 --draws 0,1
    python benchmarks/recipe_folds.py --results recipe-folds --show

For each draw of a regime's labelled images a network is trained on all of them, and scored on up to 600 of the training
images that the draw left out: a fold that is held out. No test image is read. Each training is written to `--results`
as a small file as soon as it is done, and is not run again. Each change of CHANGES is shown as its score minus that of
the linear probe on the same images, in points, and with a 95 % t interval of the mean over regimes × draws. Changes are
named by what differs from `start`; `joint` adds the images of 20 random classes of the source.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from recipes import REGIMES, joined
from replication import write_trees
from scipy.stats import t
from torch import Tensor, nn

from pretrieve.backbones import Architecture, find_architecture, parts_of_checkpoint
from pretrieve.backbones.state_dicts import load_weights
from pretrieve.components import OBJECTIVES
from pretrieve.data.folder_tree import load_folder_tree
from pretrieve.data.loading import load_target
from pretrieve.data.metric_words import find_metrics
from pretrieve.data.settings import ImageSetSettings
from pretrieve.features.forward import decode_rows, read_rows
from pretrieve.training.augmentation.views import evaluation_view, to_unit_range
from pretrieve.training.evaluation import predict_logits
from pretrieve.training.fine_tuning import FineTuning
from pretrieve.training.head_starts._base import MAX_SOURCE_EXAMPLES
from pretrieve.training.linear_heads import LinearHead, choose_l2, logistic_regression
from pretrieve.training.loop import fine_tune
from pretrieve.training.network import TwoHeadNetwork
from pretrieve.training.settings import Hyperparameters, TrainingSettings

MAX_HELD_OUT = 600
NUM_SOURCE_CLASSES = 20
L2_GRID = (300.0, 100.0, 30.0, 10.0, 3.0, 1.0)
PROBE = "probe"

START: dict[str, Any] = {
    "training": {
        "steps": 64,
        "batch_size": 32,
        "schedule": "cosine_decay",
        "schedule_settings": {"warmup": 0.1},
        "batch_norm": "frozen",
        "max_gradient_norm": 5.0,
        "augmentation": {"crop_area": [0.4, 1.0]},
    },
    "hyperparameters": {"lr": 0.003, "weight_decay": 1e-4, "head_lr_ratio": 1.0},
    "probe_head": True,
    "joint": False,
}


def training(**settings: Any) -> dict[str, Any]:
    return {"training": settings}


def rates(**values: float) -> dict[str, Any]:
    return {"hyperparameters": values}


CHANGES: dict[str, dict[str, Any]] = {
    "start": {},
    "lr_0.01": rates(lr=0.01),
    "lr_0.001": rates(lr=0.001),
    "lr_0.0003": rates(lr=0.0003),
    "gaussian_head": {"probe_head": False, **rates(head_lr_ratio=10.0)},
    "head_lr_x10": rates(head_lr_ratio=10.0),
    "batch_norm_both_streams": training(batch_norm="both_streams"),
    "step_schedule": training(schedule="step", schedule_settings={}),
    "crops_0.08": training(augmentation={"crop_area": [0.08, 1.0]}),
    "crops_0.7": training(augmentation={"crop_area": [0.7, 1.0]}),
    "no_clipping": training(max_gradient_norm=None),
    "steps_32": training(steps=32),
    "steps_128": training(steps=128),
    "steps_128_mixup": training(steps=128, mix="mixup"),
    "smoothing": training(label_smoothing=0.1),
    "mixup": training(mix="mixup"),
    "cutmix": training(mix="cutmix", mix_alpha=1.0),
    "average": training(weight_average=0.95),
    "l2_sp": training(optimizer="l2_sp"),
    "last_4_blocks": training(learns=4),
    "joint": {"joint": True},
    "joint_lr_0.001": {"joint": True, **rates(lr=0.001)},
    "joint_batch_norm_both_streams": {"joint": True, **training(batch_norm="both_streams")},
    "joint_batch_norm_target_only": {"joint": True, **training(batch_norm="target_only")},
}


@dataclass(frozen=True)
class Images:
    """Images in memory, as a training takes them."""

    pixels: Tensor
    labels: Tensor

    @property
    def aspects(self) -> Tensor:
        return torch.ones(len(self.labels))

    def gather(self, indices: Tensor) -> Tensor:
        return self.pixels[indices]

    def __len__(self) -> int:
        return len(self.labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="folder with photos.py, px32/*.npz and px64/*.npz")
    parser.add_argument("--changes", default=",".join(CHANGES), help="with commas between them")
    parser.add_argument("--regimes", default=",".join(REGIMES))
    parser.add_argument("--draws", default="0,1,2,3,4")
    parser.add_argument("--results", type=Path, default=Path("recipe-folds"), help="folder of a file a training")
    parser.add_argument("--storage", type=Path, default=Path("pretrieve-runs"), help="where the folder trees go")
    parser.add_argument("--processes", type=int, default=2, help="trainings side by side, of one thread each")
    parser.add_argument("--show", action="store_true", help="only print what the results hold")
    arguments = parser.parse_args()
    if not arguments.show:
        if arguments.photos is None:
            sys.exit("the photographs must be given: --photos FOLDER")
        trees = arguments.storage.absolute() / "photo_trees"
        write_trees(arguments.photos, trees)
        arguments.results.mkdir(parents=True, exist_ok=True)
        draws, regimes = map(int, arguments.draws.split(",")), arguments.regimes.split(",")
        # A change after the other over all regimes and draws: what is there when it is stopped can be compared.
        todo = [
            (trees, arguments.results, change, regime, draw)
            for draw in draws
            for change in arguments.changes.split(",")
            for regime in regimes
            if not path_of(arguments.results, change, regime, draw).exists()
        ]
        with get_context("spawn").Pool(arguments.processes) as pool:
            for done, line in enumerate(pool.imap_unordered(score_training, todo), 1):
                print(f"{done}/{len(todo)} {line}", flush=True)
    show(arguments.results)


def path_of(results: Path, change: str, regime: str, draw: int) -> Path:
    return results / f"{change}-{regime}-{draw}.json"


def score_training(task: tuple[Path, Path, str, str, int]) -> str:
    """Train one network, write what it scored beside the probe, and return that as a line."""
    trees, results, change, regime, draw = task
    torch.set_num_threads(1)
    started = time.perf_counter()
    labelled, held_out = drawn(trees, regime, draw)
    features, probe = features_and_probe(trees, regime, draw)
    fields = joined(START, CHANGES[change])
    network = TwoHeadNetwork(
        trunk(),
        feature_dim=architecture().feature_dim,
        num_target_classes=len(probe.bias),
        num_source_classes=200 if fields["joint"] else 0,
        generator=torch.Generator().manual_seed(draw),
    )
    if fields["probe_head"]:
        put(probe, network.target_head)
    source = None
    if fields["joint"]:
        whole, source_head = source_and_probe(trees)
        chosen = np.random.default_rng(draw).permutation(200)[:NUM_SOURCE_CLASSES]
        rows = torch.isin(whole.labels, torch.from_numpy(chosen))
        source = Images(whole.pixels[rows], whole.labels[rows])
        assert network.source_head is not None
        put(source_head, network.source_head)
    hyperparameters = Hyperparameters(**fields["hyperparameters"], source_weight=1.0 if fields["joint"] else None)
    work = FineTuning(
        network=network,
        objective=OBJECTIVES.find("joint" if fields["joint"] else "finetune").build(hyperparameters, None),
        target=labelled,
        source=source,
        preprocessing=architecture().preprocessing,
        settings=TrainingSettings(**fields["training"]),
        hyperparameters=hyperparameters,
        seed=draw,
        device=torch.device("cpu"),
    )
    fine_tune(work)
    logits = predict_logits(network, held_out, work.preprocessing, work.device)
    scores = {
        PROBE: score(regime, features @ probe.weight.T + probe.bias, held_out.labels),
        change: score(regime, logits, held_out.labels),
    }
    kept = {"change": change, "regime": regime, "draw": draw, "scores": scores}
    kept["seconds"] = time.perf_counter() - started
    path_of(results, change, regime, draw).write_text(json.dumps(kept) + "\n", encoding="utf-8")
    return f"{regime} draw {draw} {change}: {scores[change] - scores[PROBE]:+.1f} ({kept['seconds']:.0f} s)"


def score(regime: str, logits: Tensor, labels: Tensor) -> float:
    (metric,) = find_metrics([REGIMES[regime].get("metric", "top1")])
    return 100 * float(metric.compute(logits.double().numpy(), labels.numpy()))


def put(head: LinearHead, layer: nn.Linear) -> None:
    layer.weight.data.copy_(head.weight)
    layer.bias.data.copy_(head.bias)


@cache
def architecture() -> Architecture:
    # Pictures of 64 px and less are enlarged: this network's features of smaller ones are poor.
    found = find_architecture("efficientnet_lite0")
    return replace(found, preprocessing=replace(found.preprocessing, image_size=96, resize_size=96))


def trunk() -> nn.Module:
    found = architecture()
    assert found.published_weights is not None
    network = found.build()
    load_weights(network, parts_of_checkpoint(found, found.published_weights(), origin=found.name).trunk, origin="")
    return network


@cache
def drawn(trees: Path, regime: str, draw: int) -> tuple[Images, Images]:
    """Return a draw's labelled images, those of a study with that seed, and training images that it left out."""
    target = load_target(
        ImageSetSettings(folder=trees / regime, **REGIMES[regime]), seed=draw, cache=trees.parent / "cache"
    )
    labelled = pa.concat_tables([target.splits["train"], target.splits["val"]])
    whole = load_folder_tree(trees / regime, name=regime).splits["train"]
    is_left = ~np.isin(whole["path"].to_numpy(), labelled["path"].to_numpy())
    rows = np.random.default_rng(draw).permutation(np.flatnonzero(is_left))[:MAX_HELD_OUT]
    return decoded(labelled), decoded(whole.take(np.sort(rows)))


def decoded(table: pa.Table) -> Images:
    size = architecture().preprocessing.image_size
    rows = decode_rows(read_rows(table), preprocessing=architecture().preprocessing)
    pixels = rows["pixels"].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(-1, size, size, 3)
    return Images(torch.from_numpy(pixels.copy()), torch.from_numpy(table["label"].to_numpy().copy()))


@cache
def features_and_probe(trees: Path, regime: str, draw: int) -> tuple[Tensor, LinearHead]:
    """Return the features of the held-out images, and the probe that is fitted to the labelled ones."""
    labelled, held_out = drawn(trees, regime, draw)
    return features_of(held_out), fitted(features_of(labelled), labelled.labels)


@cache
def source_and_probe(trees: Path) -> tuple[Images, LinearHead]:
    """Return all images of the source, and a probe on a part of each of its classes."""
    whole = decoded(load_folder_tree(trees / "imagenet200", name="source").splits["train"])
    rows = torch.cat([torch.nonzero(whole.labels == label)[:MAX_SOURCE_EXAMPLES, 0] for label in range(200)])
    part = Images(whole.pixels[rows], whole.labels[rows])
    return whole, fitted(features_of(part), part.labels)


def fitted(features: Tensor, labels: Tensor) -> LinearHead:
    strength = choose_l2(features, labels, L2_GRID)
    return logistic_regression(features, labels, num_classes=int(labels.max()) + 1, l2=strength)


@torch.inference_mode()
def features_of(images: Images) -> Tensor:
    network = trunk().eval().to(memory_format=torch.channels_last)
    parts = [
        network(evaluation_view(to_unit_range(part, torch.device("cpu")), architecture().preprocessing))
        for part in images.pixels.split(64)
    ]
    return torch.cat(parts).clone()


def show(results: Path) -> None:
    """Print a line a change: its mean gain over the probe in each regime, and over all."""
    kept = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("*.json"))]
    regimes = [regime for regime in REGIMES if any(each["regime"] == regime for each in kept)]
    print(f"\n{'minus probe':26}" + "".join(f"{regime:>12}" for regime in regimes) + f"{'average':>18}  trainings")
    for change in sorted({each["change"] for each in kept}, key=list(CHANGES).index):
        own = [each for each in kept if each["change"] == change]
        gains = {
            regime: [each["scores"][change] - each["scores"][PROBE] for each in own if each["regime"] == regime]
            for regime in regimes
        }
        together = [gain for each in gains.values() for gain in each]
        beside = ""
        if len(together) > 2:
            half = t.ppf(0.975, len(together) - 1) * stdev(together) / len(together) ** 0.5
            beside = f"{fmean(together):+8.2f} ± {half:.2f}"
        columns = "".join(f"{fmean(each):+12.2f}" if each else f"{'–':>12}" for each in gains.values())
        print(f"{change:26}{columns}{beside:>18}  {len(together)}")


if __name__ == "__main__":
    main()
