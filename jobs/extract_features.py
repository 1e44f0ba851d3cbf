"""Compute the features that a study's selections are made from, on the cluster that this job was submitted to.

    ray job submit --working-dir jobs -- python extract_features.py studies/own_target.yaml --storage /shared/pretrieve

Takes the arguments of `pretrieve features`.
"""

from __future__ import annotations

import sys

from pretrieve.cli.app import main

main(["features", *sys.argv[1:]])
