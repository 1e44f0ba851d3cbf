"""Stage: the part of the source that each method reuses for each target."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from pretrieve.artifacts.sealed_files import is_kept
from pretrieve.data.group_lists import read_group_list
from pretrieve.data.image_set import ImageSet
from pretrieve.features.stored_features import matrix_path
from pretrieve.records.forecast import StageForecast
from pretrieve.stages._base import Stage
from pretrieve.stages.calibration import Calibration
from pretrieve.stages.clusters import ClustersStage, clusters_key
from pretrieve.stages.context import Context
from pretrieve.stages.features import SOURCE, FeaturesStage
from pretrieve.stages.image_sets import ImageSetsStage
from pretrieve.stages.selection_requests import (
    GroupsOfImages,
    SelectionRequest,
    find_selection,
    select_groups_on_cluster,
    select_images_on_cluster,
)
from pretrieve.stages.selection_settings import selector_of, split_selector_settings, takes_label_groups
from pretrieve.stages.source_units import ClassUnits, ClusterUnits, ImageUnits, SourceUnits
from pretrieve_selection import Selection

SELECTIONS = "selections"

SELECTION_S = 0.1
"""Seconds of one selection of classes or clusters: a task, and a solve of milliseconds."""

CellName = tuple[str, str]


@dataclass(frozen=True)
class SourceChoice:
    """The part of the source that a study reuses.

    Attributes:
      units: what can be chosen, by target.
      selections: by (target, method), of the methods that select.
      units_with_leaks: all units of the targets from whose units an audit removed images.
    """

    units: Mapping[str, SourceUnits]
    selections: Mapping[CellName, Selection]
    units_with_leaks: Mapping[str, SourceUnits] = field(default_factory=dict)


class SelectionStage(Stage[SourceChoice]):
    """Ranks the units of the source for each target and each method that selects."""

    name = "selection"
    place = 50

    def load(self, context: Context) -> SourceChoice | None:
        """Read the selections made before, and describe the units that they choose from.

        Raises:
          UserError: a list of groups names a group that the source does not have.
        """
        requests = _requests(context)
        if not requests:
            return SourceChoice({}, {})
        found = {cell: find_selection(request, _folder(context)) for cell, request in requests.items()}
        units = None if None in found.values() else _units(context)
        if units is None:
            return None
        settings, targets = context.settings, context.get(ImageSetsStage).targets
        selections = {cell: selection for cell, selection in found.items() if selection is not None}
        for (target, method), selection in selections.items():
            if not selection.converged:
                context.clock.notice(
                    f"the selection of {method} for {target} has not converged after {selection.iterations} "
                    "iterations; its ranking may change with more"
                )
        kept = {target: units.keeping(_kept_fraction(context, target), settings.seed) for target in targets}
        return SourceChoice(kept, selections)

    def make(self, context: Context) -> None:
        """Make the missing selections in Ray tasks.

        Raises:
          SelectionInputError: features do not allow a selection.
        """
        features, requests = context.get(FeaturesStage), _requests(context).values()
        missing = [request for request in requests if find_selection(request, _folder(context)) is None]
        targets = sorted({request.target for request in missing})
        features.extract([SOURCE, *targets])
        unit = context.settings.selection.unit
        # The stage's time does not include loading the features.
        if unit == "image":
            for name in (SOURCE, *targets):
                features.decoded_rows(name)
            labels = _labels(context.get(ImageSetsStage).source)
            select = partial(select_images_on_cluster, missing, features.folder, labels)
        else:
            centroids = {target: features.centroids(target) for target in targets}
            source = features.centroids(SOURCE) if unit == "class" else context.get(ClustersStage).centroids
            reading = sorted({request.target for request in missing if request.reads_features})
            images = _groups_of_images(context, reading) if reading else None
            select = partial(select_groups_on_cluster, missing, source, centroids, images=images)
        total = len(requests)
        with context.clock.stage(self.name, total=total, done=total - len(missing)) as progressed:
            context.cluster.connect()
            select(_folder(context), on_progress=progressed)

    def num_pieces(self, context: Context) -> int:
        return len(_requests(context))

    def artifacts(self, context: Context) -> list[Path]:
        return [request.path(_folder(context)) for request in _requests(context).values()]

    def estimate(self, context: Context, measured: Calibration) -> StageForecast | None:
        """Forecast no time where single images are selected: it is not known beforehand."""
        settings = context.settings
        number = len(context.settings.selecting) * len(settings.targets)
        if not number or context.find(SelectionStage) is not None:
            return None
        seconds = None if settings.selection.unit == "image" else number * SELECTION_S
        return StageForecast(self.name, seconds, f"{number} selections")


def _folder(context: Context) -> Path:
    return context.store.root / SELECTIONS


def _kept_fraction(context: Context, target: str) -> float:
    fraction = context.settings.selection.source_fraction
    if fraction == "as_target":
        (regime,) = [each.regime for each in context.settings.targets if each.display_name == target]
        fraction = regime.fraction
    return 1.0 if fraction is None else fraction


def _requests(context: Context) -> dict[CellName, SelectionRequest]:
    """List the selections that the study needs, by cell."""
    selecting = context.settings.selecting
    targets = context.get(ImageSetsStage).targets if selecting else ()
    return {(target, method): _request(context, target, method) for target, method in product(targets, selecting)}


def _request(context: Context, target: str, method: str) -> SelectionRequest:
    selection, sets, features = context.settings.selection, context.get(ImageSetsStage), context.get(FeaturesStage)
    names, row = sets.source.class_names, context.settings.method(method)
    # One ranking serves every top_k of the grid; it is cut at each of them.
    shared = replace(selection.core, top_k=max(context.settings.top_ks(method)))
    shared, own = split_selector_settings(shared, row.selector_settings)
    if takes_label_groups(selector_of(row)) and "label_groups" not in own:
        own["label_groups"] = tuple(read_group_list(selection.label_groups[target], names))
    return SelectionRequest(
        target=target,
        selector=str(row.selector),
        settings=shared,
        seed=context.settings.seed,
        unit=selection.unit,
        units_key=_units_key(context),
        source_features=features.key(SOURCE),
        target_features=features.key(target),
        max_images_per_class=selection.max_images_per_class,
        source_names=names if selection.unit == "class" else (),
        target_names=sets.targets[target].class_names,
        rank_from=selection.rank_from,
        selector_settings=own,
    )


def _groups_of_images(context: Context, targets: Iterable[str]) -> GroupsOfImages:
    """Make the matrices of the features that tasks will read, and find the group of each row."""
    features, sets = context.get(FeaturesStage), context.get(ImageSetsStage)
    for name in (SOURCE, *targets):
        features.decoded_rows(name)
    source = _labels(sets.source)
    if context.settings.selection.unit == "cluster":
        source = context.get(ClustersStage).assignment_of_rows(len(source))
    return GroupsOfImages(features.folder, source, {name: _labels(sets.targets[name]) for name in targets})


def _labels(image_set: ImageSet) -> NDArray[np.int64]:
    """(N,) int64, the class of each row of the train table."""
    return cast("NDArray[np.int64]", image_set.splits["train"]["label"].to_numpy())


def _units_key(context: Context) -> str:
    unit = context.settings.selection.unit
    if unit == "class":
        return "classes"
    return clusters_key(context.top) if unit == "cluster" else context.get(FeaturesStage).key(SOURCE)


def _units(context: Context) -> SourceUnits | None:
    """Describe the units to choose from; None where something must be made first."""
    unit, source, key = context.settings.selection.unit, context.get(ImageSetsStage).source, _units_key(context)
    if unit == "class":
        return ClassUnits(source, key)
    if unit == "image":
        features = context.get(FeaturesStage)
        is_made = is_kept(matrix_path(features.folder, key))
        return ImageUnits(source, key, features.decoded_rows(SOURCE)) if is_made else None
    clusters = context.get(ClustersStage)
    return ClusterUnits(source, key, clusters.assignment_of_rows(source.num_images("train")), len(clusters.sizes))
