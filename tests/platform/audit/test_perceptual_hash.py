import numpy as np
import pytest

from pretrieve.audit import perceptual_hash
from pretrieve.audit.known_copies import alter
from pretrieve.audit.perceptual_hash import (
    count_bits,
    distances,
    hashed_frequencies,
    matches_within,
    mirrored,
    perceptual_hashes,
)
from pretrieve.audit.windows import WHOLE, window_grid


def _hash(images, num_bits=128):
    return perceptual_hashes(images, [WHOLE], num_bits=num_bits)[0]


@pytest.mark.parametrize("num_bits", [64, 128, 256])
def test_hash_of_the_mirrored_image_is_the_mirrored_hash(make_pictures, num_bits):
    images = make_pictures(20, seed=1)
    difference = distances(_hash(images[:, :, ::-1], num_bits), mirrored(_hash(images, num_bits)))
    assert difference.max() <= 1, "a frequency that is absent may have either sign"
    assert (distances(_hash(images, num_bits), mirrored(_hash(images, num_bits))) > num_bits / 8).all()


@pytest.mark.parametrize("name", ["resized", "re-compressed"])
def test_copies_differ_in_few_bits_and_other_images_in_many(make_pictures, name):
    images = make_pictures(20, seed=2)
    copies = alter(images, name, np.random.default_rng(0))
    apart = distances(_hash(copies)[:, None], _hash(images)[None])
    of_others = apart[~np.eye(20, dtype=bool)]
    assert np.diag(apart).max() < 20 < of_others.min()
    assert 50 < of_others.mean() < 78, "128 bits, about half of them"


def test_brightness_and_contrast_decide_nothing(make_pictures):
    images = make_pictures(10, seed=3)
    darker = (images // 2 + 30).astype(np.uint8)
    assert distances(_hash(images), _hash(darker)).max() <= 4


def test_a_crop_is_near_the_hash_of_its_window(make_pictures):
    images = make_pictures(20, seed=4)
    crops = alter(images, "cropped", np.random.default_rng(0))
    windows = perceptual_hashes(images, window_grid(0.9, 0.05))
    to_windows = distances(_hash(crops)[None], windows).min(axis=0)
    assert to_windows.max() < 32
    assert to_windows.mean() < 0.6 * distances(_hash(crops), windows[0]).mean()


def test_matches_are_those_of_brute_force_in_blocks_of_any_size(rng, monkeypatch):
    source = rng.integers(0, 2**63, (37, 2), dtype=np.uint64)
    test = np.concatenate([source[::3] ^ np.uint64(0b1011), rng.integers(0, 2**63, (20, 2), dtype=np.uint64)])
    apart = np.array(
        [[bin(int(a) ^ int(b)).count("1") for a, b in zip(s, t, strict=True)] for s in source for t in test]
    )
    apart = apart.sum(axis=1).reshape(len(source), len(test))
    expected = {(row, column, apart[row, column]) for row, column in zip(*np.nonzero(apart <= 52), strict=True)}
    assert 13 <= len(expected) < apart.size / 2
    for rows, columns in ((64, 4096), (5, 7)):
        monkeypatch.setattr(perceptual_hash, "BLOCK_ROWS", rows)
        monkeypatch.setattr(perceptual_hash, "BLOCK_COLUMNS", columns)
        found = [match for block in matches_within(source, test, 52) for match in zip(*block, strict=True)]
        assert len(found) == len(expected)
        assert set(found) == expected


def test_bits_are_counted_alike_without_numpys_own_function(rng, monkeypatch):
    words = np.concatenate([rng.integers(0, 2**64, 100, dtype=np.uint64), np.array([0, 2**64 - 1], dtype=np.uint64)])
    expected = [bin(int(word)).count("1") for word in words]
    assert count_bits(words).tolist() == expected
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    assert count_bits(words).tolist() == expected


def test_frequencies_are_the_lowest_without_the_mean():
    rows, columns = hashed_frequencies(128)
    chosen = set(zip(rows.tolist(), columns.tolist(), strict=True))
    assert len(chosen) == 128
    assert (0, 0) not in chosen
    largest = max(row**2 + column**2 for row, column in chosen)
    lower = {(r, c) for r in range(20) for c in range(20) if 0 < r**2 + c**2 < largest}
    assert lower <= chosen
