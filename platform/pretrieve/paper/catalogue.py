"""The ten experiments of the paper, by name."""

from __future__ import annotations

from collections.abc import Mapping

from pretrieve.errors import UserError, nearest_word
from pretrieve.paper._base import Experiment
from pretrieve.paper.figures_3a_3b_4b import FIGURE3A, FIGURE3B, FIGURE4B
from pretrieve.paper.table4 import FIGURE2B, FIGURE4A, TABLE4
from pretrieve.paper.tables_1_to_3 import TABLE1A, TABLE1B, TABLE2, TABLE3

EXPERIMENTS: Mapping[str, Experiment] = {
    experiment.name: experiment
    for experiment in (*(TABLE1A, TABLE1B, TABLE2, TABLE3, TABLE4), *(FIGURE2B, FIGURE3A, FIGURE3B, FIGURE4A, FIGURE4B))
}


def find_experiment(name: str) -> Experiment:
    """Return the experiment of this name; raise a UserError where there is none.

    >>> find_experiment("figure4a").place
    'Figure 4a'
    """
    if name not in EXPERIMENTS:
        raise UserError(
            f"an experiment must be one of {', '.join(EXPERIMENTS)}, but is {name!r}.{nearest_word(name, EXPERIMENTS)}"
        )
    return EXPERIMENTS[name]
