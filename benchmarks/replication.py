"""Does reuse help on real photographs: jobs/studies/photos.yaml, its sets unpacked from the packed photographs.

    python benchmarks/replication.py --photos ../shared/data/photos --target monkeys10 --plan
    python benchmarks/replication.py --photos ../shared/data/photos --target monkeys10 --results monkeys10.md

Writes the 200-class ImageNet subset and the targets as folder trees, runs the study of one target, and prints its
verdict and its table. Run again, it goes on; `--set repeats.draws=20` adds repeats. `--plan` tells what is left to run.
`--results FILE` writes what is printed as Markdown; `--set` replaces settings of the study.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

import yaml
from folder_trees import load_module
from rich.console import Console

import pretrieve as pt
from pretrieve.cli.app import main as command_line
from pretrieve_dashboards import print_study

WIDTH = 120
STUDY = Path(__file__).resolve().parents[1] / "jobs" / "studies" / "photos.yaml"
SETS = {
    "imagenet200": "px64/source_tinyimagenet200",
    "caltech101": "px64/target_caltech101",
    "dtd10": "px64/target_dtd10",
    "monkeys10": "px64/target_monkeys10",
    "cifar10": "px32/target_cifar10",
    "flowers5": "px64/target_flowers5",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder with photos.py, px32/*.npz and px64/*.npz")
    parser.add_argument("--target", help="the study of this target alone; without it, of all together")
    parser.add_argument("--storage", type=Path, default=Path("pretrieve-runs"), help="where trees and results go")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--plan", action="store_true", help="only tell what is left to run and how long that takes")
    parser.add_argument("--results", type=Path, help="write verdict and table to this Markdown file")
    arguments = parser.parse_args()
    if not (arguments.photos / "photos.py").is_file():
        sys.exit(f"the photographs must be at {arguments.photos}, but photos.py is not there")
    storage = arguments.storage.absolute()
    trees = storage / "photo_trees"
    write_trees(arguments.photos, trees)
    # The study file names the trees beside itself; here they lie in the storage.
    settings = yaml.safe_load(STUDY.read_text(encoding="utf-8"))
    if arguments.target is not None:
        settings["targets"] = [each for each in settings["targets"] if each["folder"] == arguments.target]
        settings["name"] = f"{settings['name']}-{arguments.target}"
    study_file = trees / f"{settings['name']}.yaml"
    study_file.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    if arguments.plan:
        words = [word for override in arguments.overrides for word in ("--set", override)]
        command_line(["plan", str(study_file), "--storage", str(storage), *words])
        return
    record = pt.Study.from_file(study_file, overrides=[f"storage={storage}", *arguments.overrides]).run()
    console = Console(file=io.StringIO(), width=WIDTH)
    print_study(record, console)
    text = f"{console.file.getvalue()}\n{sum(record.stage_seconds.values()):.0f} s of all stages of all runs"  # type: ignore[attr-defined]
    print(text)
    if arguments.results is not None:
        arguments.results.write_text(f"```\n{text}\n```\n", encoding="utf-8")


def write_trees(photos: Path, trees: Path) -> None:
    """Unpack the photographs once."""
    loader = load_module(photos / "photos.py")
    for name, file in SETS.items():
        if (trees / name).exists():
            continue
        unfinished = trees / f".{name}"
        loader.write_folders(loader.load(photos / f"{file}.npz"), unfinished)
        unfinished.rename(trees / name)


if __name__ == "__main__":
    main()
