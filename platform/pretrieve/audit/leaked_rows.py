"""Training without the leaks: the same image table less the rows that show test images."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from pretrieve.data.image_table import concatenate
from pretrieve.errors import ImageSetError


def drop_rows(table: pa.Table, indices: Iterable[int]) -> pa.Table:
    """Leave out the rows of an image table that have one of the indices.

    Args:
      table: an image table (`image_table.SCHEMA`).
      indices: values of its column `index`, such as `LeakReport.source_indices`; twice is the same as once.

    Returns:
      The other rows in their order, counted from 0 again.

    Raises:
      ImageSetError: an index is not in the table, so it belongs to another one.
    """
    unwanted = np.unique(np.fromiter(indices, dtype=np.int64))
    present = table["index"].to_numpy()
    strange = np.setdiff1d(unwanted, present)
    if len(strange):
        raise ImageSetError(
            f"rows to drop must be in the image table, but index {strange[0]} is not among its {table.num_rows} rows; "
            "audit this table, not another"
        )
    return concatenate([table.filter(pa.array(~np.isin(present, unwanted)))])
