"""Stage: which groups of the source each method reuses for each target, by a Ray task, kept by key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import ray
from numpy.typing import NDArray

from pretrieve.atomic_files import read_json, write_json
from pretrieve.cluster import causes_of_task_errors
from pretrieve.keys import content_key, derived_seed
from pretrieve_selection import Selection, SelectionSettings, make_selector

SELECTION_VERSION = 1
"""Raise it when a selector or solver gives another ranking."""


@dataclass(frozen=True)
class SelectionRequest:
    """One selection that a study needs.

    Attributes:
      target: name of the target.
      selector: name of the selector.
      settings: costs, penalties, number of groups.
      seed: of the selectors that draw.
      source_features: key of the source's features.
      target_features: key of the target's features.
      source_names: of the groups, for messages.
      target_names: of the target's classes, for messages.
    """

    target: str
    selector: str
    settings: SelectionSettings
    seed: int
    source_features: str
    target_features: str
    source_names: tuple[str, ...]
    target_names: tuple[str, ...]

    @property
    def key(self) -> str:
        """Hash of everything that decides the selection."""
        return content_key(
            kind="selection",
            version=SELECTION_VERSION,
            name=self.target,  # decides the draw of `random`
            selector=self.selector,
            settings=asdict(self.settings),
            seed=self.seed,
            source=self.source_features,
            target=self.target_features,
        )

    def path(self, folder: Path) -> Path:
        """Return the file of this selection in the cache."""
        return folder / f"{self.key}.json"


def find_selection(request: SelectionRequest, folder: Path) -> Selection | None:
    """Read a selection made before; None where there is none."""
    path = request.path(folder)
    return Selection.from_dict(read_json(path)) if path.exists() else None


def select_on_cluster(
    requests: Sequence[SelectionRequest],
    centroids: Mapping[str, NDArray[np.float64]],
    folder: Path,
    *,
    on_progress: Callable[[int, int], None],
) -> None:
    """Make the selections, each in a Ray task, and keep them.

    Args:
      requests: those that `find_selection` did not find.
      centroids: (K, D) float64 by feature key.
      folder: the selection cache.
      on_progress: called with (selections done, selections in all).

    Raises:
      SelectionInputError: a centroid is zero or not finite, or more groups are asked for than there are.
    """
    shared = {key: ray.put(means) for key, means in centroids.items()}
    run = ray.remote(num_cpus=1)(select)
    pending = {
        run.remote(request, shared[request.source_features], shared[request.target_features]): request
        for request in requests
    }
    on_progress(0, len(requests))
    while pending:
        (finished,), _ = ray.wait(list(pending), num_returns=1)
        request = pending.pop(finished)
        with causes_of_task_errors():
            selection: Selection = ray.get(finished)
        write_json(request.path(folder), selection.to_dict())
        on_progress(len(requests) - len(pending), len(requests))


def select(
    request: SelectionRequest, source_centroids: NDArray[np.float64], target_centroids: NDArray[np.float64]
) -> Selection:
    """Rank the source's groups for one target; the body of the Ray task.

    Args:
      request: selector and settings.
      source_centroids: (K_source, D) float64.
      target_centroids: (K_target, D) float64.

    Returns:
      The selection of the first `top_k` groups.
    """
    selector = make_selector(request.selector)
    # A draw depends on seed and target, so that random is not the same groups for every target.
    rng = np.random.default_rng(derived_seed(request.seed, "selection", request.target))
    return selector.select(
        source_centroids,
        target_centroids,
        top_k=request.settings.top_k,
        settings=request.settings,
        rng=rng,
        source_names=request.source_names,
        target_names=request.target_names,
    )
