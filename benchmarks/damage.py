"""Damage files of a finished or a half-finished study at random, run it again, and compare its table; for hours.

    python benchmarks/damage.py --reruns 500

Each rerun damages one file of one kind (deleted, emptied, cut in half, or one bit flipped) and runs the study until it
ends well. Printed at the end: reruns by kind, and the faults: other tables, and errors that were no clear ones. There
must be none.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path

import pretrieve as pt

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from damage import DAMAGES, KINDS, damage, files_of
from forked_workers import cluster

MAX_RUNS = 4
"""Runs until the study ends well: a damaged picture ends a trial with a clear error before the next run mends it."""


class KilledError(BaseException):
    """Stands for the end of the driver."""


class Ear(pt.StudyObserver):
    """Ends the study when a number of trials have ended, if one is given."""

    def __init__(self, num_trials: int | None = None) -> None:
        self._left = num_trials

    def trial_event(self, event) -> None:  # type: ignore[no-untyped-def]
        if event.state == "finished" and self._left is not None:
            self._left -= 1
            if not self._left:
                raise KilledError


def study_in(storage: Path, name: str) -> pt.Study:
    """Describe the study: one target of the demo, three methods, an audit."""
    return pt.Study(
        name=name,
        source="characters",
        targets=["greek"],
        backbone={"name": "small_resnet", "pretrain": {"epochs": 1}},
        methods=["finetune", "uot", "co_tuning"],
        selection={"top_k": 20},
        audit={"drop_leaks": True},
        grid={"lr": [0.02, 0.01], "weight_decay": [0.0], "source_weight": [0.5], "co_tuning_lr": [0.01]},
        training={"epochs": 2, "batch_size": 32},
        refit={"num_seeds": 1},
        storage=str(storage),
    )


def table_of(study: pt.Study) -> list[list[str]]:
    """Read the table without the times that trials took."""
    text = (study.settings.folder / "table.csv").read_text(encoding="utf-8")
    rows = [row.split(",") for row in text.splitlines()]
    return [row[: rows[0].index("trial_seconds")] for row in rows]


def rerun(study: pt.Study) -> str:
    """Run a study until it ends well; return an error that was no clear one, or nothing."""
    for _ in range(MAX_RUNS):
        try:
            study.run(Ear())
        except pt.PretrieveError:  # a clear one: the next run makes the file anew
            continue
        except Exception as error:  # the finding that this script looks for
            return repr(error)
        return ""
    return "did not come to its end"


def main() -> None:
    """Damage and rerun."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reruns", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng, kinds, faults = random.Random(arguments.seed), Counter[str](), []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as clusters:
        clusters.enter_context(cluster(num_cpus=2))
        study = study_in(Path(folder), "damaged")
        study.run(Ear())
        table = table_of(study)
        for number in range(arguments.reruns):
            if number % 10 == 9:  # half-finished: another study on the same artifacts is killed on the way
                for name in ("checkpoints", "refits", "spool"):
                    shutil.rmtree(study.settings.folder / name, ignore_errors=True)
                study = study_in(Path(folder), f"damaged-{number}")
                with suppress(KilledError):
                    study.run(Ear(num_trials=1 + number % 3))
                clusters.close()  # the killed driver's trials end with their cluster
                clusters.enter_context(cluster(num_cpus=2))
            there = [kind for kind in KINDS if files_of(Path(folder), kind)]
            kind, how = rng.choice(there), rng.choice(DAMAGES)
            path = rng.choice(files_of(Path(folder), kind))
            damage(path, how, rng)
            fault = rerun(study) or ("another table" if table_of(study) != table else "")
            kinds[f"{kind}, {how}"] += 1
            if fault:
                faults.append(f"{kind}, {how}, {path.name}: {fault}")
            print(f"{number + 1}: {kind}, {how}: {fault or 'ok'}", flush=True)
    for name, count in sorted(kinds.items()):
        print(f"{count:5d}  {name}")
    print(f"{len(faults)} faults of {arguments.reruns} reruns", *faults, sep="\n")


if __name__ == "__main__":
    main()
