"""What checking digests costs beside a study: python benchmarks/digest_time.py STORAGE STUDY (goal: at most 2 %).

Reads every sealed file of a finished study's storage as each process of it would, once, and compares that time, times
the processes of the cluster and the driver, with the seconds that the study's stages took. That is an upper bound: no
process reads all files.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from pretrieve.artifacts.sealed_files import read_sealed
from pretrieve.errors import DamagedArtifactError
from pretrieve.tracking.address import sqlite_store
from pretrieve_dashboards import load_study


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("storage", type=Path)
    parser.add_argument("study")
    arguments = parser.parse_args()
    folders = [arguments.storage / "cache", arguments.storage / arguments.study / "refits"]
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    for path in paths:
        path.read_bytes()  # so that the disk is not measured
    num_bytes, started = 0, time.perf_counter()
    for path in paths:
        try:
            num_bytes += len(read_sealed(path))
        except DamagedArtifactError:  # a lock, or a log of progress
            continue
    digest_s = time.perf_counter() - started
    study_s = sum(load_study(sqlite_store(arguments.storage / arguments.study), arguments.study).stage_seconds.values())
    num_processes = 1 + (os.cpu_count() or 1)
    share = digest_s * num_processes / study_s
    print(
        f"{num_bytes / 1e6:.0f} MB in {len(paths)} files are checked in {digest_s:.2f} s; {num_processes} processes "
        f"that check all of it take {share:.2%} of the study's {study_s:.0f} s (goal: at most 2 %)"
    )


if __name__ == "__main__":
    main()
