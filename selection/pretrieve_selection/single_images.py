"""Score single images by the methods that score groups, and select the best of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pretrieve_selection.errors import SelectionInputError
from pretrieve_selection.image_scores import ImageScores, as_numpy
from pretrieve_selection.input_checks import check_labels, check_scores
from pretrieve_selection.nearest_word import describe_choices
from pretrieve_selection.selectors import make_selector, selectors
from pretrieve_selection.settings import SelectionSettings


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

    This is `Selector.score_images` of a selector without settings, in O(N + n) memory besides the features.

    Args:
      method: the name of a selector whose `units` have "image".
      source_features: (N, D) floating-point array or tensor; an array may be mapped from a file.
      target_features: (n, D), likewise.
      settings: costs and weights; each method reads those that its selector reads.
      rng: used by `random` only.
      num_threads: see `solve_image_transport`.

    Raises:
      SelectionInputError: the method selects no single images, or a side breaks a rule of `solve_image_transport`.

    >>> source, target = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[0.0, 2.0]])
    >>> score_images(
    ...     "nearest", source, target, settings=SelectionSettings(), rng=np.random.default_rng(0)
    ... ).scores.tolist()
    [-1.0, 0.0]
    """
    known = [name for name, selector in selectors().items() if "image" in selector.units]
    if method not in known:
        raise SelectionInputError(
            f"method must be one that selects single images, but is {method!r}: {describe_choices(method, known)}"
        )
    return make_selector(method).score_images(
        source_features, target_features, settings=settings, rng=rng, num_threads=num_threads
    )


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
    scores = check_scores(as_numpy(log_source_marginal), "log_source_marginal", what="image")
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
