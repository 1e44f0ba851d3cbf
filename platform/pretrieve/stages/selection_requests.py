"""One selection of a study: its key, the Ray task that makes it, and the file that keeps it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray

from pretrieve.artifacts.keys import changed_fields, content_key, derived_seed
from pretrieve.artifacts.seals import read_sealed_arrays, write_sealed_arrays
from pretrieve.artifacts.store import is_kept
from pretrieve.cluster import causes_of_task_errors, whole_node
from pretrieve.features.stored_features import FeatureMatrix, read_feature_matrix
from pretrieve.stages.selection_settings import Unit
from pretrieve_selection import Selection, SelectionSettings, make_selector, score_images, select_images

SELECTION_VERSION = 2
"""Raise it when a selector or solver gives another ranking."""


@dataclass(frozen=True)
class SelectionRequest:
    """One selection that a study needs.

    Attributes:
      settings: costs, penalties, number of units.
      seed: of the selectors that draw.
      units_key: what the numbering of the units depends on.
      source_features: key of the source's features.
      target_features: key of the target's features.
      max_images_per_class: largest number of images of one class, for the unit `image`; None for no cap.
      label_groups: indices of the groups for the selector `label`; None for any other selector.
      source_names: of the classes, for messages; empty for clusters and single images.
      target_names: of the target's classes, for messages.
      rank_from: first rank that is selected.
    """

    target: str
    selector: str
    settings: SelectionSettings
    seed: int
    unit: Unit
    units_key: str
    source_features: str
    target_features: str
    max_images_per_class: int | None
    label_groups: tuple[int, ...] | None
    source_names: tuple[str, ...]
    target_names: tuple[str, ...]
    rank_from: int = 0

    @property
    def key(self) -> str:
        """Hash of everything that decides the selection."""
        return content_key(
            kind="selection",
            version=SELECTION_VERSION,
            name=self.target,  # decides the draw of `random`
            selector=self.selector,
            settings=changed_fields(self.settings),
            seed=self.seed,
            unit=self.unit,
            units=self.units_key,
            source=self.source_features,
            target=self.target_features,
            max_images_per_class=self.max_images_per_class,
            label_groups=self.label_groups,
            # Left out at its default, so that selections made before it existed keep their keys.
            **({"rank_from": self.rank_from} if self.rank_from else {}),
        )

    @property
    def num_ranked(self) -> int:
        """Number of units up to the last one selected."""
        return self.rank_from + self.settings.top_k

    @property
    def rng(self) -> np.random.Generator:
        """Generator of the selection; it differs between targets, so that `random` draws other units for each."""
        return np.random.default_rng(derived_seed(self.seed, "selection", self.target))

    def path(self, folder: Path) -> Path:
        return folder / f"{self.key}.npz"


def find_selection(request: SelectionRequest, folder: Path) -> Selection | None:
    """Read a selection made before; None where there is none, or only a damaged one."""
    path = request.path(folder)
    if not is_kept(path):
        return None
    kept = read_sealed_arrays(path)
    margin = float(kept["margin"])
    return Selection(
        method=str(kept["method"]),
        groups=tuple(kept["groups"].tolist()),
        scores=kept["scores"],
        margin=None if np.isnan(margin) else margin,
        converged=bool(kept["converged"]),
        iterations=int(kept["iterations"]),
    )


def keep_selection(request: SelectionRequest, selection: Selection, folder: Path) -> None:
    """Write a selection to the cache."""
    write_sealed_arrays(
        request.path(folder),
        method=np.array(selection.method),
        groups=np.array(selection.groups, dtype=np.int64),
        scores=selection.scores,
        margin=np.array(np.nan if selection.margin is None else selection.margin),
        converged=np.array(selection.converged),
        iterations=np.array(selection.iterations),
    )


def select_groups_on_cluster(
    requests: Sequence[SelectionRequest],
    source_centroids: NDArray[np.float64],
    target_centroids: Mapping[str, NDArray[np.float64]],
    folder: Path,
    *,
    on_progress: Callable[[int, int], None],
) -> None:
    """Select classes or clusters, each selection in a Ray task of one CPU, and store them in `folder`.

    Args:
      requests: those that `find_selection` did not find.
      source_centroids: (K_source, D) float64.
      target_centroids: (K_target, D) float64 by name of the target.
      folder: the selection cache.
      on_progress: called with (selections done, selections in all).

    Raises:
      SelectionInputError: a centroid is zero or not finite, or more groups are asked for than there are.
    """
    source = ray.put(source_centroids)
    targets = {name: ray.put(centroids) for name, centroids in target_centroids.items()}
    run = ray.remote(num_cpus=1)(select_groups)
    pending = {run.remote(request, source, targets[request.target]): request for request in requests}
    _collect(pending, folder, on_progress)


def select_images_on_cluster(
    requests: Sequence[SelectionRequest],
    features: Path,
    labels: NDArray[np.int64],
    folder: Path,
    *,
    on_progress: Callable[[int, int], None],
) -> None:
    """Select single images, each selection in a Ray task that uses all CPUs of a node, or one GPU, and store them.

    Args:
      requests: those that `find_selection` did not find.
      features: the feature cache, which holds the matrices of the source and the targets.
      labels: (N_table,) int64, the class of each row of the source's train table.
      folder: the selection cache.
      on_progress: called with (selections done, selections in all).

    Raises:
      SelectionInputError: a feature is zero or not finite, or more images are asked for than there are.
    """
    num_cpus, num_gpus = whole_node()
    run = ray.remote(num_cpus=num_cpus, num_gpus=num_gpus)(select_single_images)
    shared = ray.put(labels)
    pending = {run.remote(request, features, shared, num_cpus): request for request in requests}
    _collect(pending, folder, on_progress)


def _collect(pending: dict[Any, SelectionRequest], folder: Path, on_progress: Callable[[int, int], None]) -> None:
    total = len(pending)
    on_progress(0, total)
    while pending:
        (finished,), _ = ray.wait(list(pending), num_returns=1)
        request = pending.pop(finished)
        with causes_of_task_errors():
            selection: Selection = ray.get(finished)
        keep_selection(request, selection, folder)
        on_progress(total - len(pending), total)


def select_groups(
    request: SelectionRequest, source_centroids: NDArray[np.float64], target_centroids: NDArray[np.float64]
) -> Selection:
    """Rank the source's groups for one target; the body of a Ray task.

    The centroids are (K_source, D) and (K_target, D) float64. Returns `top_k` groups from rank `rank_from` on.
    """
    selector = make_selector(request.selector, label_groups=request.label_groups)
    selection = selector.select(
        source_centroids,
        target_centroids,
        top_k=request.num_ranked,
        settings=request.settings,
        rng=request.rng,
        source_names=request.source_names or None,
        target_names=request.target_names,
    )
    return replace(selection, groups=selection.groups[request.rank_from :])


def select_single_images(
    request: SelectionRequest, features: Path, labels: NDArray[np.int64], num_threads: int
) -> Selection:
    """Rank the source's images for one target; the body of a Ray task.

    `features` is the feature cache; `labels` is (N_table,) int64, the class of each row of the source's train table;
    `num_threads` is for CPUs. Returns `top_k` images from rank `rank_from` on, as numbers of the images
    that decode, from 0.
    """
    source = read_feature_matrix(features, request.source_features)
    target = read_feature_matrix(features, request.target_features)
    scored = score_images(
        request.selector,
        _on_device(source),
        _on_device(target),
        settings=request.settings,
        rng=request.rng,
        num_threads=num_threads,
    )
    cap = request.max_images_per_class
    chosen = select_images(scored.scores, budget=request.num_ranked, labels=labels[source.rows], max_per_class=cap)
    return Selection(
        method=request.selector,
        groups=tuple(chosen.images[request.rank_from :].tolist()),
        scores=scored.scores,
        margin=chosen.margin,
        converged=scored.converged,
        iterations=scored.iterations,
    )


def _on_device(matrix: FeatureMatrix) -> Any:
    import torch

    return torch.from_numpy(np.array(matrix.features)).cuda() if torch.cuda.is_available() else matrix.features
