"""Refit the best configurations that a study has found so far, on the cluster that this job was submitted to.

    ray job submit --working-dir jobs -- python refit_best.py studies/own_target.yaml --storage /shared/pretrieve

Takes the arguments of `pretrieve refit`.
"""

from __future__ import annotations

import sys

from pretrieve.cli.app import main

main(["refit", *sys.argv[1:]])
