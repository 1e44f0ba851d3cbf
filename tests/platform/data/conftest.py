from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pretrieve.components import TARGETS
from pretrieve.data import registry


@pytest.fixture
def make_tree(tmp_path: Path) -> Callable[..., Path]:
    """Make a folder tree from relative paths; each image has a colour of its own."""

    def make(*paths: str, root: str = "tree") -> Path:
        for number, path in enumerate(paths):
            file = tmp_path / root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.full((6, 6, 3), (number * 37 % 256, number, 99), dtype=np.uint8)
            Image.fromarray(pixels).save(file, "PNG")
        return tmp_path / root

    return make


@pytest.fixture
def no_registered_sets(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, registry.MakeImageSet]:
    """An empty register, so that what a test registers ends with it and entry points are asked."""
    empty: dict[str, registry.MakeImageSet] = {}
    monkeypatch.setattr(TARGETS, "_registered", empty)
    return empty
