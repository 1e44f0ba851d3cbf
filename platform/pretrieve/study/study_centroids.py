"""Centroids of a study's image sets, for someone who asks for a selection outside its run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from pretrieve.errors import UserError, nearest_word
from pretrieve.features.centroid_file import NamedCentroids
from pretrieve.study.backbone_stage import make_backbone
from pretrieve.study.feature_stage import SOURCE, StudyFeatures
from pretrieve.study.image_sets_stage import load_image_sets
from pretrieve.study.lazy_cluster import LazyCluster
from pretrieve.study.observer import StudyObserver
from pretrieve.study.settings import StudySettings
from pretrieve.study.stage_clock import StageClock


def study_centroids(
    settings: StudySettings, names: Sequence[str], observer: StudyObserver
) -> Mapping[str, NamedCentroids]:
    """Average the features of each class of some of a study's image sets, from its caches where they are there.

    A target's centroids are those of its train split, as in the study itself.

    Args:
      settings: the study.
      names: of its source or its targets.
      observer: hears of stages and of images that do not decode.

    Returns:
      The centroids by name.

    Raises:
      UserError: a name is of no image set of the study; or an image set or the backbone does not fit.
    """
    known = (settings.source.display_name, *(target.display_name for target in settings.targets))
    for name in names:
        if name not in known:
            raise UserError(
                f"an image set of study {settings.name!r} must be one of {', '.join(known)}, but is {name!r}."
                f"{nearest_word(name, known)}"
            )
    clock = StageClock(observer)
    with ExitStack() as stack:
        cluster = LazyCluster(stack, settings.compute)
        source, targets = load_image_sets(settings, clock)
        class_names = {image_set.name: image_set.class_names for image_set in (*targets.values(), source)}
        backbone = make_backbone(settings, source, cluster, clock)
        features = StudyFeatures(settings, source, targets, backbone)
        keys = {name: SOURCE if name == source.name else name for name in names}
        if features.are_missing(keys.values()):
            cluster.connect()
            features.extract(keys.values(), clock)
        return {name: NamedCentroids(features.centroids(key, clock), class_names[name]) for name, key in keys.items()}
