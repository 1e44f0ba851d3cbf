"""The ten experiments of the paper, by name, and their study files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pretrieve as pt
from pretrieve.errors import UserError, nearest_word
from pretrieve.paper.experiment import Experiment, SelectionPoint, StudyPoint
from pretrieve.paper.recalls_table_4_figures_2b_4a import FIGURE2B, FIGURE4A, TABLE4
from pretrieve.paper.scores_figures_3a_3b_4b import FIGURE3A, FIGURE3B, FIGURE4B
from pretrieve.paper.scores_tables_1_to_3 import TABLE1A, TABLE1B, TABLE2, TABLE3

EXPERIMENTS: Mapping[str, Experiment] = {
    experiment.name: experiment
    for experiment in (*(TABLE1A, TABLE1B, TABLE2, TABLE3, TABLE4), *(FIGURE2B, FIGURE3A, FIGURE3B, FIGURE4A, FIGURE4B))
}

_PACKAGE = Path(__file__).parent
STUDY_FOLDERS = (_PACKAGE / "studies", _PACKAGE.parents[2] / "jobs" / "studies")
"""Where the study files are: beside this file in an installed package, in `jobs` in a checkout."""


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


def studies_folder() -> Path:
    """Return the folder of the study files; raise a UserError where the installation has none."""
    for folder in STUDY_FOLDERS:
        if folder.is_dir():
            return folder
    raise UserError(f"the experiments' study files must lie in {STUDY_FOLDERS[0]}, but do not; install Pretrieve again")


def load_point(point: StudyPoint | SelectionPoint, storage: Path | None) -> pt.Study:
    """Read the study of a point; `storage`, where given, replaces that of the file.

    A UserError is raised where the file or a setting is wrong, or the data are not where the file says.
    """
    return pt.Study.from_file(studies_folder() / point.file, overrides=point.overrides, storage=storage)
