"""Write a study's report.html and table.csv from what MLflow holds, finished or not.

    ray job submit --working-dir jobs -- python build_report.py studies/own_target.yaml --storage /shared/pretrieve

Takes the arguments of `pretrieve report`.
"""

from __future__ import annotations

import sys

from pretrieve.cli.app import main

main(["report", *sys.argv[1:]])
