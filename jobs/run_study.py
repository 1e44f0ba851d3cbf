"""Run a study on the cluster that this job was submitted to.

    ray job submit --working-dir jobs -- python run_study.py studies/own_target.yaml --storage /shared/pretrieve

Takes the arguments of `pretrieve run`.
"""

from __future__ import annotations

import sys

from pretrieve.cli.app import main

main(["run", *sys.argv[1:]])
