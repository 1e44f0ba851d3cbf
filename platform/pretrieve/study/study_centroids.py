"""Centroids of a study's image sets, for someone who asks for a selection outside its run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pretrieve.errors import UserError, nearest_word
from pretrieve.features.centroid_file import NamedCentroids
from pretrieve.stages.context import walking
from pretrieve.stages.features import SOURCE, FeaturesStage
from pretrieve.stages.image_sets import ImageSetsStage
from pretrieve.stages.observer import StudyObserver
from pretrieve.study.settings import StudySettings


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
    with walking(settings, observer) as context:
        sets, features = context.get(ImageSetsStage), context.get(FeaturesStage)
        keys = {name: SOURCE if name == sets.source.name else name for name in names}
        if any(features.request(key).missing_shards(features.folder) for key in keys.values()):
            features.extract(keys.values())
        return {
            name: NamedCentroids(features.centroids(key), features.image_sets[key].class_names)
            for name, key in keys.items()
        }
