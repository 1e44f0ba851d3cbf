"""The selection problems of an experiment: from a study's features, or from centroids in files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pretrieve.data.group_lists import read_group_list
from pretrieve.errors import UserError
from pretrieve.experiments._base import SelectionPoint, SelectionProblem
from pretrieve.features.centroid_file import read_centroid_file
from pretrieve_selection import SelectionSettings

if TYPE_CHECKING:
    from pretrieve.stages.observer import StudyObserver
    from pretrieve.study.settings import StudySettings


def problem_of_study(point: SelectionPoint, settings: StudySettings, observer: StudyObserver) -> SelectionProblem:
    """Take the problem from a study, whose features are made where they are missing.

    Args:
      point: names the target.
      settings: the study.
      observer: hears of stages and of images that do not decode.

    Raises:
      UserError: an image set or the backbone does not fit, or a list of groups names none of the source.
    """
    from pretrieve.study.study_centroids import study_centroids

    source = settings.source.display_name
    centroids = study_centroids(settings, [source, point.target], observer)
    expected = read_group_list(settings.selection.expected_groups[point.target], centroids[source].names)
    return SelectionProblem(centroids[source], centroids[point.target], tuple(expected), settings.selection.core)


def problem_of_files(point: SelectionPoint, folder: Path) -> SelectionProblem:
    """Take the problem from centroids in files, with the paper's settings.

    Args:
      point: says which files.
      folder: holds a folder for each network.

    Raises:
      UserError: the problem is not among such files, or a file is missing.
    """
    if point.class_means is None:
        raise UserError(f"--class-means must be given for a problem that lies in files, but {point.label!r} does not")
    network = folder / point.class_means.network
    source = read_centroid_file(network / "imagenet.npz")
    target = read_centroid_file(network / f"{point.class_means.target}.npz")
    expected = read_group_list(point.class_means.expected, source.names)
    return SelectionProblem(source, target, tuple(expected), SelectionSettings())
