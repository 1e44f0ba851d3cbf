"""What a recipe is worth on real photographs: probes, and fine-tuning as version 0.1 had it and by the recipe.

    python benchmarks/recipes.py --photos ../shared/data/photos --regime monkeys10
    python benchmarks/recipes.py --photos … --regime dtd10 --rows finetune --without head_start
    python benchmarks/recipes.py --show results/*.json

A regime is one target with few labelled images. A draw is a repeat of its study: it draws those images, the selection
and the first weights anew. The configurations are those that the folds of the first draw chose. A regime may be run in
pieces: `--draws 2` first and `--draws 5` later computes only the new ones. At the end it prints each row's score on the
test images, in %, and what it has over the linear probe, with the mean over the draws. `--without PART` leaves out one
part of the recipe.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from replication import write_trees

import pretrieve as pt

REGIMES: dict[str, dict[str, Any]] = {
    "caltech101": {"metric": "mean_per_class", "regime": {"images_per_class": 5}},
    "dtd10": {"regime": {"images_per_class": 16}},
    "monkeys10": {"regime": {"images_per_class": 16}},
    "cifar10": {"regime": {"images_per_class": 16}},
}
ROWS = ("class_means", "linear_probe", "finetune", "finetune_longer", "random", "uot")
OLD = "finetune of 0.1"
OLD_FIELDS: dict[str, Any] = {
    "recipe": "paper2022",
    "methods": ["finetune"],
    "training": {"epochs": 4, "batch_size": 16},
    "grid": {"lr": [0.003, 0.001], "weight_decay": [1e-4]},
}
PARTS: dict[str, dict[str, Any]] = {
    "head_start": {"training": {"head_start": "gaussian"}, "grid": {"head_lr_ratio": [10.0]}},
    "batch_norm": {"training": {"batch_norm": "both_streams"}},
    "length": {"training": {"epochs": 8}},
    "schedule": {"training": {"schedule": "step"}},
    "crops": {"training": {"augmentation": {"crop_area": [0.08, 1.0]}}},
    "clipping": {"training": {"max_gradient_norm": None}},
    "small_rates": {"grid": {"lr": [0.01, 0.003]}},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="folder with photos.py, px32/*.npz and px64/*.npz")
    parser.add_argument("--regime", choices=REGIMES)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--rows", default=",".join(ROWS), help=f"with commas between them; {OLD!r} is always there")
    parser.add_argument("--recipe", default="standard")
    parser.add_argument("--without", choices=PARTS, help="leave out one part of the recipe")
    parser.add_argument(
        "--set", dest="overrides", type=json.loads, default={}, help="settings as JSON, for a trial run"
    )
    parser.add_argument("--storage", type=Path, default=Path("pretrieve-runs"), help="where trees and studies go")
    parser.add_argument("--results", type=Path, default=Path("recipe-results"), help="folder of a file a regime")
    parser.add_argument("--show", type=Path, nargs="+", help="only print what these files hold")
    arguments = parser.parse_args()
    if arguments.show:
        show([json.loads(path.read_text(encoding="utf-8")) for path in arguments.show])
        return
    if arguments.photos is None or arguments.regime is None:
        sys.exit("the photographs and a regime must be given: --photos FOLDER --regime monkeys10")
    storage = arguments.storage.absolute()
    write_trees(arguments.photos, storage / "photo_trees")
    arguments.results.mkdir(parents=True, exist_ok=True)
    label = f"{arguments.regime}-{arguments.recipe}{'-without-' + arguments.without if arguments.without else ''}"
    found = {"label": label, **run(arguments, storage, label)}
    path = arguments.results / f"{label}.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    show([found])


def run(arguments: argparse.Namespace, storage: Path, label: str) -> dict[str, Any]:
    """Run the studies of a regime; return the test scores of each row, draw by draw, and the seconds of all runs."""
    trees = storage / "photo_trees"
    base: dict[str, Any] = {
        "source": {"name": "imagenet200", "folder": str(trees / "imagenet200")},
        "targets": [{"folder": str(trees / arguments.regime), **REGIMES[arguments.regime]}],
        # Pictures of 64 px and less are enlarged: this network's features of smaller ones are poor.
        "backbone": {"name": "efficientnet_lite0", "image_size": 96, "resize_size": 96},
        "selection": {"top_k": 20},
        "repeats": {"draws": arguments.draws},
        "choose": "first_repeat",
        "compute": {"cpus_per_trial": 1},
        "storage": str(storage),
    }
    new = joined(joined({"recipe": arguments.recipe}, PARTS.get(arguments.without, {})), arguments.overrides)
    new["methods"] = arguments.rows.split(",")
    scores: dict[str, list[float]] = {}
    seconds = 0.0
    for name, fields in (("new", new), *((("old", OLD_FIELDS),) if not arguments.without else ())):
        record = pt.Study(**joined(base, fields), name=f"recipes-{label}-{name}").run()
        seconds += sum(record.stage_seconds.values())
        for cell in record.cells:
            refits = sorted(cell.refits, key=lambda refit: refit.repeat)
            row = OLD if name == "old" else cell.method
            scores[row] = [100 * float(refit.score or 0.0) for refit in refits]
            print(f"{label}: {row} with {cell.best}", flush=True)
    return {"seconds": seconds, "scores": scores}


def joined(fields: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    both = {name for name in more if isinstance(fields.get(name), dict) and isinstance(more[name], dict)}
    return {**fields, **more, **{name: joined(fields[name], more[name]) for name in both}}


def show(regimes: Sequence[dict[str, Any]]) -> None:
    """Print a table for each regime: a line a row, a column a draw, the mean, and the mean over the probe's."""
    for regime in regimes:
        scores: dict[str, list[float]] = regime["scores"]
        num_draws = max(map(len, scores.values()))
        print(f"\n{regime['label']}: {regime['seconds'] / 60:.0f} min for {num_draws} draws")
        heading = "".join(f"{f'draw {draw}':>9}" for draw in range(num_draws))
        print(f"{'test score in %':16}{heading}{'mean':>9}{'− probe':>9}")
        for row, found in scores.items():
            beside = f"{fmean(found) - fmean(scores['linear_probe']):+9.1f}" if "linear_probe" in scores else ""
            print(f"{row:16}" + "".join(f"{score:9.1f}" for score in found) + f"{fmean(found):9.1f}{beside}")


if __name__ == "__main__":
    main()
