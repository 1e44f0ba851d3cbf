"""One selection of a study: its key, the Ray task that makes it, and the file that keeps it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import ray
from numpy.typing import NDArray

from pretrieve.artifacts.keys import changed_fields, content_key, derived_seed
from pretrieve.artifacts.sealed_files import is_kept, read_sealed_arrays, write_sealed_arrays
from pretrieve.cluster import causes_of_task_errors, whole_node
from pretrieve.components import SELECTORS
from pretrieve.features.stored_features import FeatureMatrix, read_feature_matrix
from pretrieve.stages.selection_settings import Unit
from pretrieve_selection import GroupedFeatures, Selection, SelectionSettings, Selector, select_images

SELECTION_VERSION = 3
"""Raise it when a selector or solver gives another ranking."""


@dataclass(frozen=True)
class SelectionRequest:
    """One selection that a study needs.

    Attributes:
      units_key: what the numbering of the units depends on.
      source_features: the key of the source's features; likewise `target_features`.
      max_images_per_class: largest number of images of one class, for the unit `image`; None for no cap.
      source_names: of the classes, for messages and selectors that need names; empty for clusters and single images.
        Likewise `target_names`.
      rank_from: first rank that is selected.
      selector_settings: the selector's own settings, JSON values; see `split_selector_settings`.
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
    source_names: tuple[str, ...]
    target_names: tuple[str, ...]
    rank_from: int = 0
    selector_settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Hash of everything that decides the selection."""
        own = dict(self.selector_settings)
        label_groups = own.pop("label_groups", None)
        names = {"source": self.source_names, "target": self.target_names}
        return content_key(
            kind="selection",
            version=SELECTION_VERSION,
            name=self.target,  # decides the draw of `random`
            selector=SELECTORS.identity(self.selector),
            settings=changed_fields(self.settings),
            seed=self.seed,
            unit=self.unit,
            units=self.units_key,
            source=self.source_features,
            target=self.target_features,
            max_images_per_class=self.max_images_per_class,
            label_groups=label_groups,
            # Left out at their defaults, so that selections made before they existed keep their keys.
            **({"rank_from": self.rank_from} if self.rank_from else {}),
            **({"selector_settings": own} if own else {}),
            **({"names": names} if "names" in self.selector_class.needs else {}),
        )

    @property
    def selector_class(self) -> type[Selector]:
        """The class of the selector."""
        return cast("type[Selector]", SELECTORS.find(self.selector))

    @property
    def reads_features(self) -> bool:
        """Whether the selector of groups reads the features of the images, or their moments."""
        return not {"features", "moments"}.isdisjoint(self.selector_class.needs)

    def build_selector(self) -> Selector:
        """Build the selector from its own settings.

        Raises:
          ComponentError: a setting is unknown, missing or refused.
        """
        return cast("Selector", SELECTORS.build(self.selector, self.selector_settings))

    @property
    def num_ranked(self) -> int:
        """Number of units up to the last one selected."""
        return self.rank_from + self.settings.top_k

    @property
    def rng(self) -> np.random.Generator:
        """The generator of the selection; it differs between targets, so that `random` draws other units for each."""
        return np.random.default_rng(derived_seed(self.seed, "selection", self.target))

    def path(self, folder: Path) -> Path:
        return folder / f"{self.key}.npz"


@dataclass(frozen=True, eq=False)
class GroupsOfImages:
    """Where the tasks of selectors that read features find them: by the key of a request, in the store.

    Attributes:
      folder: of the feature cache; the matrices of the features are made.
      source: (N_table,) int64, the group of each row of the source's train table.
      targets: by name of the target, (n_table,) int64, the class of each row of its train table.
    """

    folder: Path
    source: NDArray[np.int64]
    targets: Mapping[str, NDArray[np.int64]]

    def read(self, request: SelectionRequest) -> dict[str, GroupedFeatures]:
        """Map the features of both sides, as arguments of `Selector.select`."""
        keys = {"source": request.source_features, "target": request.target_features}
        groups = {"source": self.source, "target": self.targets[request.target]}
        matrices = {side: read_feature_matrix(self.folder, key) for side, key in keys.items()}
        return {
            f"{side}_features": GroupedFeatures(each.features, groups[side][each.rows])
            for side, each in matrices.items()
        }


def find_selection(request: SelectionRequest, folder: Path) -> Selection | None:
    """Read a selection made before; None where there is none, or only a damaged one."""
    path = request.path(folder)
    if not is_kept(path):
        return None
    kept = read_sealed_arrays(path)
    plain = {name: kept[name].item() for name in ("method", "margin", "converged", "iterations")}
    plain["margin"] = None if np.isnan(plain["margin"]) else plain["margin"]
    return Selection(groups=tuple(kept["groups"].tolist()), scores=kept["scores"], **plain)


def keep_selection(request: SelectionRequest, selection: Selection, folder: Path) -> None:
    """Write a selection to `folder`, for `find_selection`."""
    margin = np.nan if selection.margin is None else selection.margin
    arrays = {name: np.array(value) for name, value in (vars(selection) | {"margin": margin}).items()}
    write_sealed_arrays(request.path(folder), **arrays)


def select_groups_on_cluster(
    requests: Sequence[SelectionRequest],
    source_centroids: NDArray[np.float64],
    target_centroids: Mapping[str, NDArray[np.float64]],
    folder: Path,
    *,
    on_progress: Callable[[int, int], None],
    images: GroupsOfImages | None = None,
) -> None:
    """Select classes or clusters, each selection in a Ray task of one CPU, and store them in `folder`.

    The centroids are (K_source, D) float64 and, by name of the target, (K_target, D) float64. `on_progress` is called
    with (selections done, selections in all). `images` must be given if a selector reads features.

    Raises:
      SelectionInputError: a centroid is zero or not finite, or more groups are asked for than there are.
    """
    run: Any = ray.remote(num_cpus=1)(select_groups)
    targets = {name: ray.put(centroids) for name, centroids in target_centroids.items()}
    source, shared = ray.put(source_centroids), ray.put(images)
    pending = {run.remote(request, source, targets[request.target], shared): request for request in requests}
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

    `features` is the folder of the matrices; `labels` is (N_table,) int64, the class of each row of the source's train
    table. `on_progress` is called with (selections done, selections in all).

    Raises:
      SelectionInputError: a feature is zero or not finite, or more images are asked for than there are.
    """
    num_cpus, num_gpus = whole_node()
    run, shared = ray.remote(num_cpus=num_cpus, num_gpus=num_gpus)(select_single_images), ray.put(labels)
    pending = {run.remote(request, features, shared, num_cpus): request for request in requests}
    _collect(pending, folder, on_progress)


def _collect(pending: dict[Any, SelectionRequest], folder: Path, on_progress: Callable[[int, int], None]) -> None:
    total = len(pending)
    on_progress(0, total)
    while pending:
        (finished,), _ = ray.wait(list(pending), num_returns=1)
        with causes_of_task_errors():
            keep_selection(pending.pop(finished), ray.get(finished), folder)
        on_progress(total - len(pending), total)


def select_groups(
    request: SelectionRequest,
    source_centroids: NDArray[np.float64],
    target_centroids: NDArray[np.float64],
    images: GroupsOfImages | None = None,
) -> Selection:
    """Rank the source's groups for one target; the body of a Ray task.

    The centroids are (K_source, D) and (K_target, D) float64. The features of `images` are opened only if the selector
    reads them. Returns `top_k` groups from rank `rank_from` on.
    """
    features = images.read(request) if images is not None and request.reads_features else {}
    selection = request.build_selector().select(
        source_centroids,
        target_centroids,
        top_k=request.num_ranked,
        settings=request.settings,
        rng=request.rng,
        source_names=request.source_names or None,
        target_names=request.target_names,
        **features,
    )
    return replace(selection, groups=selection.groups[request.rank_from :])


def select_single_images(
    request: SelectionRequest, features: Path, labels: NDArray[np.int64], num_threads: int
) -> Selection:
    """Rank the source's images for one target; the body of a Ray task.

    `features` and `labels` are as for `select_images_on_cluster`; `num_threads` is for CPUs. Returns `top_k` images
    from rank `rank_from` on, as numbers of the images that decode, from 0.
    """
    source, target = (read_feature_matrix(features, key) for key in (request.source_features, request.target_features))
    settings, rng, cap = request.settings, request.rng, request.max_images_per_class
    matrices = _on_device(source), _on_device(target)
    scored = request.build_selector().score_images(*matrices, settings=settings, rng=rng, num_threads=num_threads)
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
