"""Score single images by the methods that score groups."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pretrieve_selection.arrays import array_namespace, as_float64
from pretrieve_selection.errors import SelectionInputError
from pretrieve_selection.image_kernel import ImageKernel, Workspace
from pretrieve_selection.image_transport import solve_image_transport
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
    is_nearest = method == "nearest"
    cost = settings.cost if is_nearest else settings.greedy_cost
    unscaled = replace(settings, cost=cost, cost_scale=1.0, entropy_weight=1.0)
    kernel = ImageKernel(source_features, target_features, unscaled, block_size=None, num_threads=num_threads)
    kernel.set_column_potential(kernel.zeros(kernel.num_target))

    def score_block(rows: slice, workspace: Workspace) -> Any:
        block, offset = kernel.exponents(rows, kernel.zeros(rows.stop - rows.start), workspace)
        xp = array_namespace(block)
        reduced = xp.amax(block, axis=1) if is_nearest else block.mean(axis=1, dtype=xp.float64)
        return as_float64(reduced, like=block) + offset

    scores = kernel.zeros(kernel.num_source)
    for rows, block_scores in kernel.map_blocks(score_block):
        scores[rows] = block_scores
    return ImageScores(_to_numpy(scores))


def _to_numpy(scores: Any) -> NDArray[np.float64]:
    return np.asarray(scores.cpu() if hasattr(scores, "cpu") else scores, dtype=np.float64)
