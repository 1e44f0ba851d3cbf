"""The ten experiments of the paper, by name."""

from __future__ import annotations

from collections.abc import Mapping

from pretrieve.errors import UserError, nearest_word
from pretrieve.experiments._base import Experiment
from pretrieve.experiments.figure2b import FIGURE2B
from pretrieve.experiments.figure3a import FIGURE3A
from pretrieve.experiments.figure3b import FIGURE3B
from pretrieve.experiments.figure4a import FIGURE4A
from pretrieve.experiments.figure4b import FIGURE4B
from pretrieve.experiments.table1a import TABLE1A
from pretrieve.experiments.table1b import TABLE1B
from pretrieve.experiments.table2 import TABLE2
from pretrieve.experiments.table3 import TABLE3
from pretrieve.experiments.table4 import TABLE4

EXPERIMENTS: Mapping[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        TABLE1A,
        TABLE1B,
        TABLE2,
        TABLE3,
        TABLE4,
        FIGURE2B,
        FIGURE3A,
        FIGURE3B,
        FIGURE4A,
        FIGURE4B,
    )
}


def find_experiment(name: str) -> Experiment:
    """Return an experiment by its name.

    Raises:
      UserError: there is none of that name.
    """
    if name not in EXPERIMENTS:
        raise UserError(
            f"an experiment must be one of {', '.join(EXPERIMENTS)}, but is {name!r}.{nearest_word(name, EXPERIMENTS)}"
        )
    return EXPERIMENTS[name]
