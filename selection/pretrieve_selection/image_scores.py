"""The scores of single images, and those that are a statistic of an image's costs."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pretrieve_selection.settings import SelectionSettings


@dataclass(frozen=True, eq=False)
class ImageScores:
    """The (N,) finite scores of all source images by one selector, as in `Selection`; higher = more similar.

    `converged` is False where the scores are those of an iteration that stopped early. `iterations` is 0 for a selector
    without an iteration.
    """

    scores: NDArray[np.float64]
    converged: bool = True
    iterations: int = 0


def score_by_costs(
    source_features: Any,
    target_features: Any,
    statistic: Literal["smallest", "mean"],
    *,
    cost: str,
    settings: SelectionSettings,
    num_threads: int,
) -> ImageScores:
    """Score each source image by minus its smallest or mean cost to the target's images; see `score_images`.

    The cost has the name `cost` and is not divided by `cost_scale`.
    """
    from pretrieve_selection.image_kernel import ImageKernel  # imported here because torch loads slowly

    unscaled = replace(settings, cost=cost, cost_scale=1.0, entropy_weight=1.0)
    kernel = ImageKernel(source_features, target_features, unscaled, block_size=None, num_threads=num_threads)
    kernel.set_column_potential(kernel.zeros(kernel.num_target))
    scores = kernel.zeros(kernel.num_source)

    def score_block(rows: slice) -> None:
        block, offset = kernel.exponents(rows, kernel.zeros(rows.stop - rows.start))
        of_rows = block.amax(dim=1) if statistic == "smallest" else block.mean(dim=1, dtype=scores.dtype)
        scores[rows] = of_rows + offset

    for _ in kernel.map_blocks(score_block):
        pass
    return ImageScores(as_numpy(scores))


def as_numpy(scores: Any) -> NDArray[np.float64]:
    """Return an array or a tensor of any device as a float64 array."""
    return np.asarray(scores.cpu() if hasattr(scores, "cpu") else scores, dtype=np.float64)
