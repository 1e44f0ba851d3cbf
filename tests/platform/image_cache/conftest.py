from collections.abc import Callable

import numpy as np
import pytest

from pretrieve.data.decode import encode_png
from pretrieve.data.image_table import table_of_contents
from pretrieve.image_cache.entries import CacheEntry

SIZE = 8


@pytest.fixture
def make_entry() -> Callable[..., CacheEntry]:
    """Make an entry of random images of `shape`; those at `broken` are no images."""

    def make(
        key: str,
        num_images: int,
        *,
        broken: tuple[int, ...] = (),
        seed: int = 0,
        shape: tuple[int, int] = (SIZE, SIZE),
        layout: str = "square",
    ) -> CacheEntry:
        pixels = np.random.default_rng(seed).integers(0, 256, (num_images, *shape, 3), dtype=np.uint8)
        contents = [b"broken" if row in broken else encode_png(image) for row, image in enumerate(pixels)]
        names = [f"{key}/{row}" for row in range(num_images)]
        table = table_of_contents(names, contents, [seed + row for row in range(num_images)])
        return CacheEntry(key, table, SIZE, layout)

    return make
