"""The first half of the walk: image sets → backbone → features → selections → image cache."""

from __future__ import annotations

from dataclasses import replace

from pretrieve.study.backbone_stage import make_backbone
from pretrieve.study.feature_stage import StudyFeatures
from pretrieve.study.image_cache_stage import cache_images
from pretrieve.study.image_sets_stage import check_sizes, load_image_sets
from pretrieve.study.lazy_cluster import LazyCluster
from pretrieve.study.materials import Materials
from pretrieve.study.relationship_stage import check_classifier, relate_categories
from pretrieve.study.settings import StudySettings
from pretrieve.study.source_choice import SourceChooser
from pretrieve.study.stage_clock import StageClock


def prepare(settings: StudySettings, cluster: LazyCluster, clock: StageClock) -> Materials:
    """Make, or find in the cache, everything that the trials need.

    Args:
      settings: the study.
      cluster: connected to only when something is missing.
      clock: times the stages and tells of them.

    Returns:
      The materials, every artifact under the key of what it was made from.

    Raises:
      UserError: an image set, the backbone or a setting does not fit; before anything is computed where possible.
    """
    source, targets = load_image_sets(settings, clock)
    check_sizes(settings, source, targets)
    backbone = make_backbone(settings, source, cluster, clock)
    check_classifier(settings, backbone)
    features = StudyFeatures(settings, source, targets, backbone)
    choice = SourceChooser(settings, source, targets, features, cluster, clock).choose()
    materials = Materials(
        source,
        targets,
        backbone,
        choice.units,
        choice.selections,
        settings.cache / "images",
        top_ks=settings.grid.top_k or (None,),
    )
    cache_images(settings, materials, cluster, clock)
    return replace(materials, relationships=relate_categories(settings, materials, cluster, clock))
