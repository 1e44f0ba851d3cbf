"""Score single images by the methods that score groups, and select the best of them."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pretrieve_selection.errors import SelectionInputError
from pretrieve_selection.image_transport import solve_image_transport
from pretrieve_selection.input_checks import check_labels, check_scores
from pretrieve_selection.nearest_word import describe_choices
from pretrieve_selection.settings import SelectionSettings

IMAGE_METHODS = ("uot", "greedy_ot", "random", "nearest")
"""The methods that can select single images; `label` selects groups only."""


@dataclass(frozen=True, eq=False)
class ImageScores:
    """The (N,) finite scores of all source images by one method, as in `Selection`; higher = more similar.

    `converged` is False where the scores are those of an iteration that stopped early. `iterations` is 0 for a method
    without an iteration.
    """

    scores: NDArray[np.float64]
    converged: bool = True
    iterations: int = 0


def score_images(
    method: str,
    source_features: Any,
    target_features: Any,
    *,
    settings: SelectionSettings,
    rng: np.random.Generator,
    num_threads: int = 1,
) -> ImageScores:
    """Score each source image by its similarity to the target's images.

    This is `Selector.select` with images in place of centroids, in O(N + n) memory besides the features.

    Args:
      method: one of `IMAGE_METHODS`.
      source_features: (N, D) floating-point array or tensor; an array may be mapped from a file.
      target_features: (n, D), likewise.
      settings: costs and weights; each method reads those that its selector reads.
      rng: used by `random` only.
      num_threads: see `solve_image_transport`.

    Raises:
      SelectionInputError: the method is not in `IMAGE_METHODS`, or a side breaks a rule of `solve_image_transport`.

    >>> source, target = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[0.0, 2.0]])
    >>> score_images(
    ...     "nearest", source, target, settings=SelectionSettings(), rng=np.random.default_rng(0)
    ... ).scores.tolist()
    [-1.0, 0.0]
    """
    if method not in IMAGE_METHODS:
        raise SelectionInputError(
            f"method must be one that selects single images, but is {method!r}: "
            f"{describe_choices(method, IMAGE_METHODS)}"
        )
    if method == "random":
        return ImageScores(rng.random(len(source_features)))
    if method == "uot":
        transport = solve_image_transport(source_features, target_features, settings=settings, num_threads=num_threads)
        return ImageScores(_to_numpy(transport.log_source_marginal), transport.converged, transport.iterations)
    from pretrieve_selection.image_kernel import ImageKernel  # imported here because torch loads slowly

    is_nearest = method == "nearest"
    cost = settings.cost if is_nearest else settings.greedy_cost
    unscaled = replace(settings, cost=cost, cost_scale=1.0, entropy_weight=1.0)
    kernel = ImageKernel(source_features, target_features, unscaled, block_size=None, num_threads=num_threads)
    kernel.set_column_potential(kernel.zeros(kernel.num_target))
    scores = kernel.zeros(kernel.num_source)

    def score_block(rows: slice) -> None:
        block, offset = kernel.exponents(rows, kernel.zeros(rows.stop - rows.start))
        scores[rows] = (block.amax(dim=1) if is_nearest else block.mean(dim=1, dtype=scores.dtype)) + offset

    for _ in kernel.map_blocks(score_block):
        pass
    return ImageScores(_to_numpy(scores))


@dataclass(frozen=True, eq=False)
class ImageSelection:
    """The source images that were selected.

    Attributes:
      images: (budget,) int64, indices of source images, best first; equal scores by ascending index.
      scores: (budget,) float64, log P·1 of these images, descending.
      margin: score of the last image selected − score of the next one; None where there is no next one.
    """

    images: NDArray[np.int64]
    scores: NDArray[np.float64]
    margin: float | None


def select_images(
    log_source_marginal: Any, *, budget: int, labels: ArrayLike | None = None, max_per_class: int | None = None
) -> ImageSelection:
    """Select the images of the largest mass, at most `max_per_class` of each class.

    Args:
      log_source_marginal: (N,) array or tensor, finite, see `ImageTransport`.
      budget: number of images to select, ≥ 1.
      labels: (N,) integers, the class of each image; only needed with max_per_class.
      max_per_class: ≥ 1; None means no limit.

    Raises:
      SelectionInputError: a shape or range above does not hold, or max_per_class leaves fewer images than the budget.

    >>> select_images(np.array([-1.0, -2.0, -9.0]), budget=2, labels=[0, 0, 1], max_per_class=1).images.tolist()
    [0, 2]
    """
    scores = check_scores(_to_numpy(log_source_marginal), "log_source_marginal", what="image")
    allowed = np.argsort(-scores, kind="stable").astype(np.int64)
    if max_per_class is not None:
        allowed = _cap_classes(allowed, labels, max_per_class)
    if not 1 <= budget <= len(allowed):
        cap = "" if max_per_class is None else f" that a cap of {max_per_class} for each class leaves"
        raise SelectionInputError(
            f"budget must be from 1 to the {len(allowed)} images{cap}, but is {budget}; choose another budget"
        )
    images = allowed[:budget]
    margin = float(scores[images[-1]] - scores[allowed[budget]]) if budget < len(allowed) else None
    return ImageSelection(images, scores[images], margin)


def _cap_classes(ranking: NDArray[np.int64], labels: ArrayLike | None, max_per_class: int) -> NDArray[np.int64]:
    if labels is None:
        raise SelectionInputError("labels must be given where max_per_class is; give the class of each image")
    if max_per_class < 1:
        raise SelectionInputError(f"max_per_class must be at least 1, but is {max_per_class}; leave it out for no cap")
    ranked_labels = check_labels(labels, len(ranking))[ranking]
    by_class = np.argsort(ranked_labels, kind="stable")
    sorted_labels = ranked_labels[by_class]
    rank_in_class = np.empty(len(ranking), dtype=np.int64)
    rank_in_class[by_class] = np.arange(len(ranking)) - np.searchsorted(sorted_labels, sorted_labels)
    return ranking[rank_in_class < max_per_class]


def _to_numpy(scores: Any) -> NDArray[np.float64]:
    return np.asarray(scores.cpu() if hasattr(scores, "cpu") else scores, dtype=np.float64)
