"""A replication on real photographs: jobs/studies/photos.yaml, its sets unpacked from the packed photographs.

    python benchmarks/replication.py --photos ../shared/data/photos

Writes the 200-class ImageNet subset and the targets as folder trees, runs the study (about an hour on two cores; run it
again and it goes on), and prints the table and each method's paired differences against plain fine-tuning, and those
of the ranked parts against a random one, with 95% intervals. `--plan` tells what is left to run before, and afterwards
what each stage took beside it. `--results FILE` writes the tables as Markdown; `--set` replaces settings of the study,
for a larger machine.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from folder_trees import load_module

import pretrieve as pt
from pretrieve.cli.app import main as command_line
from pretrieve.records import StudyRecord
from pretrieve_dashboards import PairedDifference, paired_differences, score_table

RANKED = ("nearest", "greedy_ot", "uot")
STUDY = Path(__file__).resolve().parents[1] / "jobs" / "studies" / "photos.yaml"
SETS = {
    "imagenet200": "px64/source_tinyimagenet200",
    "caltech101": "px64/target_caltech101",
    "dtd10": "px64/target_dtd10",
    "monkeys10": "px64/target_monkeys10",
    "cifar10": "px32/target_cifar10",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder with photos.py, px32/*.npz and px64/*.npz")
    parser.add_argument("--storage", type=Path, default=Path("pretrieve-runs"), help="where trees and results go")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--plan", action="store_true", help="only tell what is left to run and how long that takes")
    parser.add_argument("--results", type=Path, help="write the tables to this Markdown file")
    arguments = parser.parse_args()
    if not (arguments.photos / "photos.py").is_file():
        sys.exit(f"the photographs must be at {arguments.photos}, but photos.py is not there")
    storage = arguments.storage.absolute()
    trees = storage / "photo_trees"
    write_trees(arguments.photos, trees)
    # The study file names the trees beside itself; here they lie in the storage.
    study_file = trees / STUDY.name
    study_file.write_text(STUDY.read_text(encoding="utf-8"), encoding="utf-8")
    if arguments.plan:
        settings = [word for override in arguments.overrides for word in ("--set", override)]
        command_line(["plan", str(study_file), "--storage", str(storage), *settings])
        return
    started = time.perf_counter()
    study = pt.Study.from_file(study_file, overrides=[f"storage={storage}", *arguments.overrides])
    record = study.run()
    ranked = tuple(name for name in record.methods if name in RANKED)
    text = "\n".join(
        [
            f"{time.perf_counter() - started:.0f} s of wall time (less where an earlier run had done part of it)",
            "",
            score_table(record).to_text(),
            "",
            *(differences_as_text(record, "finetune") if "finetune" in record.methods else []),
            "",
            *(differences_as_text(record, "random", ranked) if "random" in record.methods else []),
        ]
    )
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


def differences_as_text(record: StudyRecord, baseline: str, methods: Sequence[str] | None = None) -> list[str]:
    """Return a line a method: its paired differences against a baseline, in points, with 95% intervals."""
    found = paired_differences(record, baseline)
    by_pair = {(difference.target, difference.method): difference for difference in found}
    columns = [*(target.name for target in record.targets), "average"]
    lines = [f"{f'minus {baseline}':14}" + "".join(f"{column:>16}" for column in columns)]
    for method in record.methods if methods is None else methods:
        cells = [by_pair.get((column, method)) for column in columns]
        if any(cells):
            lines.append(f"{method:14}" + "".join(f"{describe(cell):>16}" for cell in cells))
    num_seeds = {difference.num_seeds for difference in found}
    return [*lines, f"points; same seeds compared ({', '.join(map(str, sorted(num_seeds)))} a cell), 95% intervals"]


def describe(difference: PairedDifference | None) -> str:
    """Write a difference in points."""
    if difference is None:
        return "–"
    return f"{100 * difference.mean:+.1f} ± {100 * difference.ci95:.1f}"


if __name__ == "__main__":
    main()
