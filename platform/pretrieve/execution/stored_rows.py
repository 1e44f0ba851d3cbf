"""Rows of image tables whose images, or features, lie in the store: what a trial trains on or scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from pretrieve.artifacts.sealed_files import read_sealed_array
from pretrieve.image_cache.cached_images import CachedImages, ImagesAtRows
from pretrieve.image_cache.card import read_card
from pretrieve.settings_model import SettingsModel


class StoredRows(SettingsModel):
    """Some rows of image tables.

    Attributes:
      folders: of the tables in the image cache or in the feature cache, in this order.
      rows: file of (N,) int64, rows of the tables joined; None for all of them.
    """

    folders: tuple[Path, ...]
    rows: Path | None = None

    def numbers(self) -> NDArray[np.int64] | None:
        """Read the rows, (N,) int64; None for all.

        Raises:
          DamagedArtifactError: the file does not hold what was written.
        """
        return None if self.rows is None else cast("NDArray[np.int64]", np.array(read_sealed_array(self.rows)))

    def images(self, folders: Sequence[Path] | None = None) -> CachedImages | ImagesAtRows:
        """Open the images without those that do not decode; from `folders`, if they are copies of the own ones.

        Raises:
          FileNotFoundError, DamagedArtifactError: as for `CachedImages`.
        """
        images, rows = CachedImages(self.folders if folders is None else folders), self.numbers()
        return images if rows is None else images.at_rows(rows)

    def broken(self) -> tuple[str, ...]:
        """Name the images that do not decode, as "path: reason"; raises as `read_card`."""
        cards, rows = [read_card(folder) for folder in self.folders], self.numbers()
        starts = np.cumsum([0, *(card.num_images + len(card.broken) for card in cards)]).tolist()
        broken = {
            start + row: reason
            for start, card in zip(starts, cards, strict=False)
            for row, reason in zip(card.broken_rows, card.broken, strict=True)
        }
        own = None if rows is None else set(rows.tolist())
        return tuple(reason for row, reason in broken.items() if own is None or row in own)

    @property
    def origin(self) -> list[str]:
        """What a key holds of them: the names of the files are hashes of what they hold."""
        return [path.name for path in (*self.folders, *([self.rows] if self.rows else []))]
