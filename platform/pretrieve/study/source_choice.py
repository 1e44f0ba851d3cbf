"""From features to selections: what the units of the source are, and which of them each cell reuses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from pretrieve.data.group_lists import read_group_list
from pretrieve.data.image_set import ImageSet
from pretrieve.features.matrix import matrix_path
from pretrieve.methods import METHODS
from pretrieve.study.cluster_stage import ClusterRequest, SourceClusters, cluster_on_cluster, find_clusters
from pretrieve.study.feature_stage import SOURCE, StudyFeatures, notice_broken
from pretrieve.study.lazy_cluster import LazyCluster
from pretrieve.study.selection_stage import (
    SelectionRequest,
    find_selection,
    select_groups_on_cluster,
    select_images_on_cluster,
)
from pretrieve.study.settings import StudySettings
from pretrieve.study.source_units import ClassUnits, ClusterUnits, ImageUnits, SourceUnits
from pretrieve.study.stage_clock import StageClock
from pretrieve_selection import Selection

CellName = tuple[str, str]


@dataclass(frozen=True)
class SourceChoice:
    """What a study reuses of its source.

    Attributes:
      units: what can be chosen, by target.
      selections: by (target, method), of the methods that select.
      units_with_leaks: of the targets whose units were cut by an audit, the whole units.
    """

    units: Mapping[str, SourceUnits]
    selections: Mapping[CellName, Selection]
    units_with_leaks: Mapping[str, SourceUnits] = field(default_factory=dict)


class SourceChooser:
    """Finds or makes the units and the selections of a study.

    Args:
      settings: the study.
      source: its source.
      targets: its targets by name.
      features: computes what is missing.
      cluster: connected to only when something is missing.
      clock: times the stages.
    """

    def __init__(
        self,
        settings: StudySettings,
        source: ImageSet,
        targets: Mapping[str, ImageSet],
        features: StudyFeatures,
        cluster: LazyCluster,
        clock: StageClock,
    ) -> None:
        self._settings = settings
        self._source = source
        self._targets = targets
        self._features = features
        self._cluster = cluster
        self._clock = clock
        self._selections_folder = settings.cache / "selections"
        self._clusters_folder = settings.cache / "clusters"
        self._cluster_request = ClusterRequest(
            features.key(SOURCE),
            settings.selection.num_clusters,
            settings.selection.cluster_iterations,
            settings.seed,
        )

    def extract_features(self) -> None:
        """Compute what is missing of the features that the study's selections are made from."""
        targets = {request.target for request in self.requests().values()}
        if not targets:
            self._clock.notice("no method of this study reuses the source, so it needs no features")
            return
        names = [SOURCE, *sorted(targets)]
        if self._features.are_missing(names):
            self._cluster.connect()
        self._features.extract(names, self._clock)

    def choose(self) -> SourceChoice:
        """Return the units and selections, made where they are not in the cache.

        Raises:
          UserError: a list of groups names none of the source.
          SelectionInputError: features do not allow a selection.
        """
        requests = self.requests()
        if not requests:
            return SourceChoice({}, {})
        missing = [request for request in requests.values() if find_selection(request, self._selections_folder) is None]
        if missing or not self._has_units():
            self._cluster.connect()
            self._features.extract([SOURCE, *{request.target for request in missing}], self._clock)
        units = self._units()
        if missing:
            self._select(missing, num_found=len(requests) - len(missing))
        return SourceChoice(
            {target: units.keeping(self._kept_fraction(target), self._settings.seed) for target in self._targets},
            {cell: self._found(cell, request) for cell, request in requests.items()},
        )

    def _kept_fraction(self, target: str) -> float:
        fraction = self._settings.selection.source_fraction
        if fraction == "as_target":
            (regime,) = [each.regime for each in self._settings.targets if each.display_name == target]
            fraction = regime.fraction
        return 1.0 if fraction is None else fraction

    def requests(self) -> dict[CellName, SelectionRequest]:
        """List the selections that the study needs, by cell."""
        return {
            (target, method): self._request(target, method)
            for target in self._targets
            for method in self._settings.methods
            if METHODS[method].selector is not None
        }

    def _request(self, target: str, method: str) -> SelectionRequest:
        selection = self._settings.selection
        groups = selection.label_groups[target] if method == "label" else None
        names = self._source.class_names
        return SelectionRequest(
            target=target,
            selector=str(METHODS[method].selector),
            # One ranking for every number of units in the grid: it is cut at each of them.
            settings=replace(selection.core, top_k=max(self._settings.grid.top_k or (selection.top_k,))),
            seed=self._settings.seed,
            unit=selection.unit,
            units_key=self._units_key(),
            source_features=self._features.key(SOURCE),
            target_features=self._features.key(target),
            max_images_per_class=selection.max_images_per_class,
            label_groups=None if groups is None else tuple(read_group_list(groups, names)),
            source_names=names if selection.unit == "class" else (),
            target_names=self._targets[target].class_names,
            rank_from=selection.rank_from,
        )

    def _units_key(self) -> str:
        keys = {"class": "classes", "cluster": self._cluster_request.key, "image": self._features.key(SOURCE)}
        return keys[self._settings.selection.unit]

    def _has_units(self) -> bool:
        unit = self._settings.selection.unit
        if unit == "cluster":
            return find_clusters(self._cluster_request, self._clusters_folder) is not None
        return unit == "class" or matrix_path(self._features.folder, self._features.key(SOURCE)).exists()

    def _units(self) -> SourceUnits:
        unit, key = self._settings.selection.unit, self._units_key()
        if unit == "class":
            return ClassUnits(self._source, key)
        if unit == "image":
            return ImageUnits(self._source, key, self._features.decoded_rows(SOURCE, self._clock))
        clusters = self._clusters()
        assignment = clusters.assignment_of_rows(self._source.num_images("train"))
        return ClusterUnits(self._source, key, assignment, len(clusters.sizes))

    def _clusters(self) -> SourceClusters:
        request, limit = self._cluster_request, self._cluster_request.max_iterations
        found = find_clusters(request, self._clusters_folder)
        with self._clock.stage("clusters", total=limit, done=limit if found else 0) as progressed:
            if found is None:
                self._cluster.connect()
                self._features.decoded_rows(SOURCE, self._clock)
                cluster_on_cluster(
                    request,
                    self._clusters_folder,
                    self._features.folder,
                    on_iteration=lambda number, inertia: progressed(
                        min(number, limit), limit, f"inertia {inertia:.4f} an image"
                    ),
                )
        made = find_clusters(request, self._clusters_folder)
        assert made is not None, "it was made just now"
        notice_broken(made.broken, self._clock)
        if not made.converged:
            self._clock.notice(
                f"k-means has not come to rest after {len(made.inertia)} iterations (inertia "
                f"{made.inertia[-1] / len(made.rows):.4f} an image); selection.cluster_iterations allows more"
            )
        return made

    def _select(self, missing: Sequence[SelectionRequest], *, num_found: int) -> None:
        targets = {request.target for request in missing}
        # What the selections are made from, before their stage begins: reading it is not selecting.
        if self._settings.selection.unit == "image":
            self._make_matrices(targets)
            labels = self._source.splits["train"]["label"].to_numpy()
            with self._clock.stage("selection", total=num_found + len(missing), done=num_found) as progressed:
                select_images_on_cluster(
                    missing, self._features.folder, labels, self._selections_folder, on_progress=progressed
                )
            return
        centroids = {target: self._features.centroids(target, self._clock) for target in sorted(targets)}
        source = self._source_centroids()
        with self._clock.stage("selection", total=num_found + len(missing), done=num_found) as progressed:
            select_groups_on_cluster(missing, source, centroids, self._selections_folder, on_progress=progressed)

    def _make_matrices(self, targets: Iterable[str]) -> None:
        for name in (SOURCE, *sorted(targets)):
            self._features.decoded_rows(name, self._clock)

    def _source_centroids(self) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        if self._settings.selection.unit == "class":
            return self._features.centroids(SOURCE, self._clock)
        clusters = find_clusters(self._cluster_request, self._clusters_folder)
        assert clusters is not None, "the units were made before"
        return clusters.centroids

    def _found(self, cell: CellName, request: SelectionRequest) -> Selection:
        selection = find_selection(request, self._selections_folder)
        assert selection is not None, "it was made just now"
        if not selection.converged:
            self._clock.notice(
                f"the selection of {cell[1]} for {cell[0]} has not converged after {selection.iterations} iterations; "
                "its ranking may change with more"
            )
        return selection
