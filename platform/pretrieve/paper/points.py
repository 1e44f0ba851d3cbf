"""Turn a point of a series into a study or a selection problem."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pretrieve.errors import UserError
from pretrieve.paper._base import SelectionPoint, SelectionProblem, StudyPoint
from pretrieve_selection import SelectionSettings

if TYPE_CHECKING:
    from pretrieve import Study, StudyObserver

_PACKAGE = Path(__file__).parent
_PLACES = (_PACKAGE / "studies", _PACKAGE.parents[2] / "jobs" / "studies")
"""Where the study files are: beside this file in an installed package, in `jobs` in a checkout."""


def studies_folder() -> Path:
    """Return the folder of the study files; raise a UserError where the installation has none."""
    for folder in _PLACES:
        if folder.is_dir():
            return folder
    raise UserError(f"the experiments' study files must lie in {_PLACES[0]}, but do not; install Pretrieve again")


def load_point(point: StudyPoint | SelectionPoint, storage: Path | None) -> Study:
    """Read the study of a point; `storage`, where given, replaces that of the file.

    A UserError is raised where the file or a setting is wrong, or the data are not where the file says.
    """
    from pretrieve import Study

    place = () if storage is None else (f"storage={storage.expanduser().absolute()}",)
    return Study.from_file(studies_folder() / point.file, overrides=[*point.overrides, *place])


def problem_of_study(point: SelectionPoint, study: Study, observer: StudyObserver | None) -> SelectionProblem:
    """Take the problem from a study; features that are missing are computed.

    The observer is notified of stages and of images that do not decode; None shows both on the terminal. A UserError is
    raised where an image set or the backbone does not fit, or a list of groups names none of the source.
    """
    from pretrieve import read_group_list, study_centroids, terminal_view

    settings = study.settings
    if observer is None:
        with terminal_view(settings) as view:
            return problem_of_study(point, study, view)
    source = settings.source.display_name
    centroids = study_centroids(settings, [source, point.target], observer)
    expected = read_group_list(settings.selection.expected_groups[point.target], centroids[source].names)
    return SelectionProblem(centroids[source], centroids[point.target], tuple(expected), settings.selection.core)


def problem_of_files(point: SelectionPoint, folder: Path) -> SelectionProblem:
    """Take the problem from files of centroids, with the paper's settings; `folder` has a folder for each network.

    A UserError is raised where there are no files for this problem, or a file is missing.
    """
    from pretrieve import read_centroid_file, read_group_list

    if point.class_means is None:
        raise UserError(f"--class-means must be given for a problem that lies in files, but {point.label!r} does not")
    network = folder / point.class_means.network
    source = read_centroid_file(network / "imagenet.npz")
    target = read_centroid_file(network / f"{point.class_means.target}.npz")
    expected = read_group_list(point.class_means.expected, source.names)
    return SelectionProblem(source, target, tuple(expected), SelectionSettings())
