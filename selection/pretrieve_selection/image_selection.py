"""Select the single images of the largest mass, with or without a limit for each class."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pretrieve_selection.errors import SelectionInputError


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
    scores = _checked_scores(log_source_marginal)
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
    classes = np.asarray(labels)
    if classes.shape != (len(ranking),) or classes.dtype.kind not in "iu":
        raise SelectionInputError(
            f"labels must be {len(ranking)} integers, one for each image, but are {classes.dtype} of shape "
            f"{classes.shape}; give the class of each image"
        )
    if max_per_class < 1:
        raise SelectionInputError(f"max_per_class must be at least 1, but is {max_per_class}; leave it out for no cap")
    ranked_labels = classes[ranking]
    by_class = np.argsort(ranked_labels, kind="stable")
    sorted_labels = ranked_labels[by_class]
    rank_in_class = np.empty(len(ranking), dtype=np.int64)
    rank_in_class[by_class] = np.arange(len(ranking)) - np.searchsorted(sorted_labels, sorted_labels)
    return ranking[rank_in_class < max_per_class]


def _checked_scores(log_source_marginal: Any) -> NDArray[np.float64]:
    on_cpu = log_source_marginal.cpu() if hasattr(log_source_marginal, "cpu") else log_source_marginal
    scores = np.asarray(on_cpu, dtype=np.float64)
    if scores.ndim != 1:
        raise SelectionInputError(
            f"log_source_marginal must be one number for each image, but has shape {scores.shape}; give (N,)"
        )
    wrong = np.flatnonzero(~np.isfinite(scores))
    if wrong.size:
        raise SelectionInputError(
            f"log_source_marginal must be finite, but that of image {wrong[0]} is {scores[wrong[0]]}; "
            "check the features of this image"
        )
    return scores
