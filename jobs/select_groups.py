"""Make a study's selections, and the features they need, on the cluster that this job was submitted to.

    ray job submit --working-dir jobs -- python select_groups.py studies/own_target.yaml --storage /shared/pretrieve

Takes the arguments of `pretrieve selections`.
"""

from __future__ import annotations

import sys

from pretrieve.cli.app import main

main(["selections", *sys.argv[1:]])
