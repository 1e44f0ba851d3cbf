from dataclasses import replace

import numpy as np
import pytest

from pretrieve.audit.known_copies import ALTERATIONS, alter
from pretrieve.audit.leaks import find_leaks, hash_candidates
from pretrieve.audit.perceptual_hash import hash_images, perceptual_hashes
from pretrieve.audit.windows import window_grid


def plant(source, test, seed=0):
    """Put one copy of a test image for each alteration in place of source images, in rows 3, 6, 9, …"""
    rng = np.random.default_rng(seed)
    planted = source.copy()
    pairs = []
    for row, name in enumerate(ALTERATIONS):
        planted[3 * row + 3] = alter(test[row : row + 1], name, rng)[0]
        pairs.append((3 * row + 3, row))
    return planted, pairs


@pytest.fixture(scope="module")
def planted(make_pictures):
    return *plant(make_pictures(80, seed=30), test := make_pictures(20, seed=31)), test


@pytest.fixture(scope="module")
def report(planted, small_settings, audit_in_process):
    source, _, test = planted
    return audit_in_process(source, test, small_settings)


def test_planted_copies_are_found_and_nothing_else(report, planted):
    _, pairs, _ = planted
    assert [(pair.source_index, pair.test_index) for pair in report.pairs] == pairs
    for pair, name in zip(report.pairs, ALTERATIONS, strict=True):
        assert ("mirrored" in pair.kind) == ("mirrored" in name)
        assert ("cropped" in pair.kind) == ("cropped" in name)


def test_report_says_what_was_compared(report):
    assert (report.num_source, report.num_test, report.num_compared) == (80, 20, 1600)
    assert report.num_candidates >= len(report.pairs)
    first, second, *_ = report.summary()
    assert first == "8 leaks: 8 of 80 source images show 8 of 20 test images"
    assert second.startswith("1,600 pairs compared")
    assert report.thresholds.hash_distance.num_copies == 12 * len(ALTERATIONS)


def test_what_is_found_in_a_part_of_the_source_is_what_is_found_of_it_in_the_whole(planted, report, small_settings):
    source, _, test = planted
    hashed, found = hash_images(test, small_settings, place="the test split"), []
    for start in range(0, 80, 23):
        part = hash_images(source[start : start + 23], small_settings, place="the source")
        pairs, _ = find_leaks(part, hashed, report.thresholds, small_settings)
        found += [replace(pair, source_index=pair.source_index + start) for pair in pairs]
    assert tuple(found) == report.pairs


def test_planted_copies_are_found_among_real_photographs(photographs, small_settings, audit_in_process):
    source, pairs = plant(*photographs)
    found = audit_in_process(source, photographs[1], small_settings)
    missed = set(pairs) - {(pair.source_index, pair.test_index) for pair in found.pairs}
    assert len(missed) <= 1
    assert len(found.pairs) <= len(pairs) + 1


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
    rows, columns, distances = hash_candidates(*pair, radius=32)
    assert rows.tolist() == columns.tolist() == list(range(15))
    assert (distances <= 32).all()


def test_no_candidates_are_an_empty_list(make_pictures, hashes):
    found = hash_candidates(hashes(make_pictures(4, seed=6)), hashes(make_pictures(3, seed=7)), radius=4)
    assert [len(each) for each in found] == [0, 0, 0]
