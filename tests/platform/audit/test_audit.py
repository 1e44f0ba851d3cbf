import json
from dataclasses import replace

import numpy as np
import pytest

from pretrieve.audit.audit import AuditFeatures, audit_leaks
from pretrieve.audit.known_copies import ALTERATIONS, alter
from pretrieve.audit.report import TABLE_SCHEMA
from pretrieve.audit.thresholds import choose_threshold
from pretrieve.errors import ImageSetError


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
def report(planted, small_settings):
    source, _, test = planted
    return audit_leaks(source, test, settings=small_settings)


def test_planted_copies_are_found_and_nothing_else(report, planted):
    _, pairs, _ = planted
    assert [(pair.source_index, pair.test_index) for pair in report.pairs] == pairs
    assert report.source_indices == tuple(row for row, _ in pairs)
    assert report.test_indices == tuple(range(len(pairs)))
    for pair, name in zip(report.pairs, ALTERATIONS, strict=True):
        assert ("mirrored" in pair.kind) == ("mirrored" in name)
        assert ("cropped" in pair.kind) == ("cropped" in name)


def test_report_says_what_was_compared(report):
    assert (report.num_source, report.num_test, report.num_compared) == (80, 20, 1600)
    assert report.num_candidates >= len(report.pairs)
    text = report.to_text()
    assert text.startswith("8 leaks: 8 of 80 source images show 8 of 20 test images\n1,600 pairs compared")
    assert len(text.splitlines()) == text.splitlines().index("") + 2 + len(report.pairs)


def test_report_becomes_a_table_and_json(report):
    table = report.to_table()
    assert table.schema == TABLE_SCHEMA
    assert table["source_index"].to_pylist() == list(report.source_indices)
    assert table["cosine"].null_count == len(report.pairs)
    value = json.loads(report.to_json())
    assert value["num_compared"] == 1600
    assert [pair["kind"] for pair in value["pairs"]] == table["kind"].to_pylist()
    assert value["thresholds"]["hash_distance"]["num_copies"] == 12 * len(ALTERATIONS)


def test_what_is_found_in_a_part_of_the_source_is_what_is_found_of_it_in_the_whole(planted, report, small_settings):
    source, _, test = planted
    found = []
    for start in range(0, 80, 23):
        kwargs = {"settings": small_settings, "thresholds": report.thresholds}
        part = audit_leaks(source[start : start + 23], test, **kwargs)
        found += [replace(pair, source_index=pair.source_index + start) for pair in part.pairs]
    assert tuple(found) == report.pairs


def test_features_bring_up_a_pair_that_the_hashes_miss(planted, report, small_settings):
    source, pairs, test = planted
    rng = np.random.default_rng(0)
    of_source, of_test = (rng.normal(size=(n, 32)).astype(np.float32) for n in (80, 20))
    of_source[pairs[1][0]] = of_test[pairs[1][1]]
    of_source[0] = of_test[0]  # near in feature space alone: its pixels speak against it
    cosine = choose_threshold(np.ones(2), np.zeros(2), recall=1, max_false_alarm_rate=0, is_similarity=True)
    blind = choose_threshold(np.zeros(2), np.ones(2), recall=1, max_false_alarm_rate=0)  # hashes that are the same
    thresholds = type(report.thresholds)(blind, report.thresholds.likeness)
    features = AuditFeatures(of_source, of_test[None], cosine)
    kwargs = {"settings": small_settings, "thresholds": thresholds}
    without = audit_leaks(source, test, **kwargs)
    found = audit_leaks(source, test, **kwargs, features=features)
    assert pairs[1] not in [(pair.source_index, pair.test_index) for pair in without.pairs]
    added = [pair for pair in found.pairs if pair not in without.pairs and pair.hash_distance is None]
    assert [(pair.source_index, pair.test_index) for pair in added] == [pairs[1]]
    assert added[0].cosine == pytest.approx(1)


def test_features_of_other_images_are_refused(planted, small_settings):
    source, _, test = planted
    cosine = choose_threshold(np.ones(2), np.zeros(2), recall=1, max_false_alarm_rate=0, is_similarity=True)
    features = AuditFeatures(np.ones((79, 4), np.float32), np.ones((1, 20, 4), np.float32), cosine)
    with pytest.raises(ImageSetError, match="80 of the source and 20 of the test split, but have 79 and 20"):
        audit_leaks(source, test, settings=small_settings, features=features)


def test_planted_copies_are_found_among_real_photographs(photographs, small_settings):
    source, pairs = plant(*photographs)
    found = audit_leaks(source, photographs[1], settings=small_settings)
    missed = set(pairs) - {(pair.source_index, pair.test_index) for pair in found.pairs}
    assert len(missed) <= 1
    assert len(found.pairs) <= len(pairs) + 1
