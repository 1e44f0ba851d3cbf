"""The contract of draws: rows of tensors, one row an image, that can be taken apart."""

from __future__ import annotations

from dataclasses import fields
from typing import TypeVar

from torch import Tensor

Draws = TypeVar("Draws", bound="RowsOfDraws")


class RowsOfDraws:
    """Base of frozen dataclasses whose fields all have one row an image.

    So each of several workers can make the draws of a whole batch and apply its own rows only; together they give the
    views that one worker would.
    """

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))  # type: ignore[arg-type]

    def __getitem__(self: Draws, rows: slice | Tensor) -> Draws:
        """Return the draws of some images: a slice, or an index or boolean tensor on the CPU."""
        names = [field.name for field in fields(self)]  # type: ignore[arg-type]
        return type(self)(**{name: getattr(self, name)[rows] for name in names})
