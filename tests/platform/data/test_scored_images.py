"""An image has the same identity wherever it is, and only images that decode are listed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from pretrieve.data.decode import encode_png
from pretrieve.data.image_table import concatenate, table_of_contents, table_of_files
from pretrieve.data.scored_images import (
    ScoredImages,
    identify_images,
    image_identity,
    read_scored_images,
    write_scored_images,
)
from pretrieve.errors import DamagedArtifactError
from pretrieve.image_cache.cached_images import CachedImages
from pretrieve.image_cache.card import read_card
from pretrieve.image_cache.entries import CacheEntry, write_entry


def pictures(number: int) -> list[bytes]:
    pixels = np.random.default_rng(0).integers(0, 256, (number, 8, 8, 3), dtype=np.uint8)
    return [encode_png(image) for image in pixels]


def test_an_image_has_the_same_identity_in_a_file_in_memory_and_in_another_split(tmp_path: Path) -> None:
    contents = pictures(600)
    in_memory = table_of_contents([f"{n}" for n in range(600)], contents, [n % 3 for n in range(600)])
    for number, content in enumerate(contents[:300]):
        (tmp_path / f"{number}.png").write_bytes(content)
    files = [tmp_path / f"{number}.png" for number in reversed(range(300))]
    whole, half = identify_images(in_memory, "abc"), identify_images(table_of_files(files, [0] * 300), "abc")
    assert whole.identities == tuple(hashlib.sha256(content).hexdigest()[:32] for content in contents)
    assert half.identities == whole.identities[:300][::-1]
    assert whole.labels == tuple(n % 3 for n in range(600))
    assert len(set(whole.identities)) == 600


def test_the_images_are_those_of_the_cache_in_its_order(tmp_path: Path) -> None:
    """Broken images are left out, also where one path stands for a whole image and a broken one, or holds a colon."""
    good = pictures(6)
    contents = [good[0], b"broken", good[1], b"", good[2], good[3][:-60], good[4], good[5]]
    names = ["a", "a", "a: b", "c", "c: image", "d: e", "d", "d: e"]
    table = table_of_contents(names, contents, range(8))
    write_entry(CacheEntry("test", table, 8), tmp_path / "test")
    found = identify_images(table, [str(k) for k in range(8)], read_card(tmp_path / "test").broken)
    assert list(found.labels) == CachedImages([tmp_path / "test"]).labels.tolist() == [0, 2, 4, 6, 7]
    assert found.identities == tuple(image_identity(contents[label]) for label in found.labels)


def test_equal_files_are_one_image() -> None:
    content = pictures(1)
    table = concatenate([table_of_contents(["a"], content, [0]), table_of_contents(["b"], content, [1])])
    found = identify_images(table, "ab")
    assert found.identities[0] == found.identities[1]


def test_a_file_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="an image must stay where it is"):
        identify_images(table_of_files([tmp_path / "gone.png"], [0]), "a")


def test_the_list_survives_its_file(tmp_path: Path) -> None:
    images, path = ScoredImages(("x" * 32, "y" * 32), (1, 0), ("ä", "b\n")), tmp_path / "images.json"
    write_scored_images(path, images)
    assert read_scored_images(path) == images
    path.write_bytes(path.read_bytes().replace(b"x", b"z", 1))
    with pytest.raises(DamagedArtifactError):
        read_scored_images(path)
