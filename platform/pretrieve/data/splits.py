"""Splits that a data set does not bring along: stratified and seeded."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from pretrieve.data.image_table import concatenate
from pretrieve.errors import ImageSetError
from pretrieve.keys import derived_seed


def hold_out(table: pa.Table, *, fraction: float, seed: int, set_name: str) -> tuple[pa.Table, pa.Table]:
    """Split a table into a kept and a held-out part, class by class (appendix A: 20% of train for validation).

    Each class gives the rounded fraction of its images, at least one, and keeps at least one.

    Args:
      table: an image table.
      fraction: share of each class to hold out, in (0, 1).
      seed: decides which images; independent of the order of other classes.
      set_name: named in errors.

    Returns:
      (kept, held out), indices counted from 0 in each.

    Raises:
      ImageSetError: a class has a single image, so it cannot be in both parts.
    """
    labels = np.asarray(table["label"].to_numpy())
    held = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if len(rows) < 2:
            raise ImageSetError(
                f"each class of {set_name!r} needs at least 2 training images to hold one out for validation, "
                f"but label {label} has {len(rows)}; add images or give a val split"
            )
        count = min(max(round(fraction * len(rows)), 1), len(rows) - 1)
        rng = np.random.default_rng(derived_seed(seed, "hold_out", int(label)))
        held[rng.choice(rows, size=count, replace=False)] = True
    return concatenate([table.filter(pa.array(~held))]), concatenate([table.filter(pa.array(held))])


def with_validation(
    splits: Mapping[str, pa.Table], *, fraction: float, seed: int, set_name: str
) -> dict[str, pa.Table]:
    """Add a val split made from train where there is none.

    Raises:
      ImageSetError: a class is too small to split.
    """
    if "val" in splits:
        return dict(splits)
    train, val = hold_out(splits["train"], fraction=fraction, seed=seed, set_name=set_name)
    return {**splits, "train": train, "val": val}
