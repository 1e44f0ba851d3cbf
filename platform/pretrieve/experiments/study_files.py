"""Where the experiments' study files lie, and how a point of a series becomes a study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pretrieve.errors import UserError
from pretrieve.experiments._base import SelectionPoint, Series, StudyPoint
from pretrieve.methods import METHODS
from pretrieve.search.grid import GridSettings
from pretrieve.study.study_file import load_study_file, read_study_fields

if TYPE_CHECKING:
    from pretrieve.study.settings import StudySettings

_PACKAGE = Path(__file__).parent
_PLACES = (_PACKAGE / "studies", _PACKAGE.parents[2] / "jobs" / "studies")
"""In an installed package beside this file; in a checkout where a cluster's user submits them from."""


def studies_folder() -> Path:
    """Return the folder of the study files.

    Raises:
      UserError: the installation has none.
    """
    for place in _PLACES:
        if place.is_dir():
            return place
    raise UserError(f"the experiments' study files must lie in {_PLACES[0]}, but do not; install Pretrieve again")


def load_point(point: StudyPoint | SelectionPoint, storage: Path | None) -> StudySettings:
    """Read the study of a point.

    Args:
      point: of a series.
      storage: in place of what the file says; None leaves it.

    Raises:
      UserError: the file or a setting is wrong, or the data are not where the file says.
    """
    words = list(point.overrides)
    if storage is not None:
        words.append(f"storage={storage.expanduser().absolute()}")
    return load_study_file(studies_folder() / point.file, overrides=words)


def count_trials(series: Series) -> tuple[int, int]:
    """Count the trials and refits that a series plans, whether the data are there or not.

    What two points share is counted in each: a study runs it once.

    Returns:
      Number of trials, number of refits.

    Raises:
      UserError: a file is missing or no YAML.
    """
    counts = [_count(point) for point in series.studies]
    return sum(trials for trials, _ in counts), sum(refits for _, refits in counts)


def _count(point: StudyPoint) -> tuple[int, int]:
    fields = read_study_fields(studies_folder() / point.file, overrides=point.overrides)
    grid = GridSettings.model_validate(fields.get("grid", {}))
    methods, num_targets = fields["methods"], len(fields["targets"])
    num_seeds = fields.get("refit", {}).get("num_seeds", 2)
    settled = grid.with_head_lr_ratio(grid.head_lr_ratio[0]) if grid.settles_head_lr_ratio(methods) else grid
    num_trials = sum(len((grid if method == "finetune" else settled).points(METHODS[method])) for method in methods)
    return num_targets * num_trials, num_targets * len(methods) * num_seeds
