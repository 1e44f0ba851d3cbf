"""The first half of the walk: image sets → backbone → features → selections → audit → image cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property

from pretrieve.backbones import Backbone
from pretrieve.data.image_set import ImageSet
from pretrieve.study.audit_stage import audit_choice
from pretrieve.study.backbone_stage import make_backbone
from pretrieve.study.feature_stage import StudyFeatures
from pretrieve.study.image_cache_stage import cache_images
from pretrieve.study.image_sets_stage import check_sizes, load_image_sets
from pretrieve.study.lazy_cluster import LazyCluster
from pretrieve.study.materials import Materials
from pretrieve.study.relationship_stage import check_classifier, relate_categories
from pretrieve.study.settings import StudySettings
from pretrieve.study.source_choice import SourceChoice, SourceChooser
from pretrieve.study.stage_clock import StageClock


class Preparation:
    """Everything that exists before the first trial, made or found in the cache as far as it is asked for.

    Each step takes the steps before it, so that whoever wants the features alone walks no further than that.

    Args:
      settings: the study.
      cluster: connected to only when something is missing.
      clock: times the stages and tells of them.
    """

    def __init__(self, settings: StudySettings, cluster: LazyCluster, clock: StageClock) -> None:
        self._settings = settings
        self._cluster = cluster
        self._clock = clock

    @cached_property
    def _image_sets(self) -> tuple[ImageSet, Mapping[str, ImageSet]]:
        source, targets = load_image_sets(self._settings, self._clock)
        check_sizes(self._settings, source, targets)
        return source, targets

    @cached_property
    def _backbone(self) -> Backbone:
        backbone = make_backbone(self._settings, self._image_sets[0], self._cluster, self._clock)
        check_classifier(self._settings, backbone)
        return backbone

    @cached_property
    def _features(self) -> StudyFeatures:
        source, targets = self._image_sets
        return StudyFeatures(self._settings, source, targets, self._backbone)

    @cached_property
    def _chooser(self) -> SourceChooser:
        source, targets = self._image_sets
        return SourceChooser(self._settings, source, targets, self._features, self._cluster, self._clock)

    def extract_features(self) -> None:
        """Compute the features that the study's selections are made from, those of finished selections included.

        Raises:
          UserError: an image set, the backbone or a setting does not fit.
        """
        self._chooser.extract_features()

    @cached_property
    def choice(self) -> SourceChoice:
        """What the study reuses of its source; what an audit would leave out included.

        Raises:
          UserError: an image set, the backbone, a setting or a list of groups does not fit.
        """
        return self._chooser.choose()

    def materials(self) -> Materials:
        """Make everything that the trials need, every artifact under the key of what it was made from.

        Raises:
          UserError: an image set, the backbone or a setting does not fit; before anything is computed where possible.
        """
        settings, cluster, clock = self._settings, self._cluster, self._clock
        source, targets = self._image_sets
        audited = audit_choice(settings, source, targets, self.choice, cluster, clock)
        materials = self.chosen(audited)
        cache_images(settings, materials, cluster, clock)
        return replace(materials, relationships=relate_categories(settings, materials, cluster, clock))

    def chosen(self, choice: SourceChoice) -> Materials:
        """Describe what a choice comes to; no image is cached for it."""
        source, targets = self._image_sets
        return Materials(
            source,
            targets,
            self._backbone,
            choice.units,
            choice.selections,
            self._settings.cache / "images",
            top_ks=self._settings.grid.top_k or (None,),
            units_with_leaks=choice.units_with_leaks,
        )
