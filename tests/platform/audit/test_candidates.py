import numpy as np
import pytest

from pretrieve.audit import candidates
from pretrieve.audit.candidates import NO_DISTANCE, cosine_candidates, hash_candidates, joined
from pretrieve.audit.known_copies import alter
from pretrieve.audit.perceptual_hash import perceptual_hashes
from pretrieve.audit.windows import window_grid


@pytest.fixture(scope="module")
def hashes(make_pictures):
    """Function that hashes images in the windows of crops down to nine tenths."""
    return lambda images: perceptual_hashes(images, window_grid(0.9, 0.05))


@pytest.mark.parametrize("name", ["mirrored", "cropped", "cropped, mirrored"])
@pytest.mark.parametrize("is_swapped", [False, True], ids=["copy in the source", "copy among the test images"])
def test_each_copy_is_a_candidate_with_its_original_once(make_pictures, hashes, name, is_swapped):
    images = make_pictures(15, seed=5)
    copies = hashes(alter(images, name, np.random.default_rng(0)))
    pair = (hashes(images), copies) if is_swapped else (copies, hashes(images))
    found = hash_candidates(*pair, radius=32)
    assert found.source.tolist() == found.test.tolist() == list(range(15))
    assert (found.hash_distances <= 32).all()
    assert np.isnan(found.cosines).all()


def test_no_candidates_are_an_empty_list(make_pictures, hashes):
    found = hash_candidates(hashes(make_pictures(4, seed=6)), hashes(make_pictures(3, seed=7)), radius=4)
    assert len(found) == 0


def test_cosines_are_the_largest_of_the_variants_whatever_the_blocks(rng, monkeypatch):
    source = rng.normal(size=(50, 8)).astype(np.float32)
    test = rng.normal(size=(2, 9, 8)).astype(np.float32)
    units = test / np.linalg.norm(test, axis=2, keepdims=True)
    cosines = (source / np.linalg.norm(source, axis=1, keepdims=True)) @ units.transpose(0, 2, 1)
    expected = np.argwhere(cosines.max(axis=0) >= 0.6).tolist()
    assert expected
    monkeypatch.setattr(candidates, "BLOCK_ROWS", 7)
    found = cosine_candidates(source, test, 0.6)
    assert np.stack([found.source, found.test], axis=1).tolist() == expected
    np.testing.assert_allclose(found.cosines, cosines.max(axis=0)[found.source, found.test], rtol=1e-5)
    assert (found.hash_distances == NO_DISTANCE).all()


def test_joined_pairs_keep_what_each_side_says(rng):
    by_hash = candidates.Candidates(np.array([0, 2]), np.array([1, 1]), np.array([5, 9]), np.full(2, np.nan))
    by_cosine = candidates.Candidates(
        np.array([1, 2]), np.array([0, 1]), np.full(2, NO_DISTANCE), np.array([0.9, 0.95])
    )
    both = joined(by_hash, by_cosine)
    assert both.source.tolist() == [0, 1, 2]
    assert both.test.tolist() == [1, 0, 1]
    assert both.hash_distances.tolist() == [5, NO_DISTANCE, 9]
    np.testing.assert_array_equal(both.cosines, [np.nan, 0.9, 0.95])
