import numpy as np
import pytest
from pydantic import ValidationError

from pretrieve.audit.calibration import calibrate, least_distances, likeness, pair_distances, sample_rows
from pretrieve.audit.known_copies import ALTERATIONS, alter
from pretrieve.audit.perceptual_hash import hash_images
from pretrieve.audit.settings import AuditSettings
from pretrieve.audit.verification import Alignments
from pretrieve.errors import ImageSetError


@pytest.fixture(scope="module")
def sides(make_pictures, small_settings):
    source, test = make_pictures(60, seed=20), make_pictures(12, seed=21)
    return [hash_images(images, small_settings, place="a side") for images in (source, test)]


def test_thresholds_part_known_copies_from_other_images(sides, small_settings):
    thresholds = calibrate(*sides, small_settings)
    assert set(thresholds.recall_by_alteration) == set(ALTERATIONS)
    assert np.mean(list(thresholds.recall_by_alteration.values())) >= 0.9
    assert thresholds.hash_distance.false_alarm_rate <= small_settings.max_hash_false_alarms
    assert thresholds.hash_distance.num_others == 60 * 12
    assert thresholds.hash_distance.num_copies == 12 * len(ALTERATIONS)
    assert thresholds.likeness.num_others == small_settings.num_nearest
    assert 0.3 < thresholds.likeness.value < 0.8


def test_leaks_among_the_sample_do_not_pass_for_different_images(sides, small_settings):
    source, test = sides
    clean = calibrate(source, test, small_settings)
    images = source.images.copy()
    images[:12] = alter(test.images, "re-compressed", np.random.default_rng(1))
    leaking = calibrate(hash_images(images, small_settings, place="the source"), test, small_settings)
    assert clean.likeness.num_others == small_settings.num_nearest
    assert leaking.likeness.num_others == small_settings.num_nearest - 12
    assert leaking.hash_distance.recall >= small_settings.recall
    assert abs(leaking.likeness.value - clean.likeness.value) < 0.1


def test_least_distances_are_those_of_single_pairs(sides):
    source, test = sides
    apart = least_distances(source.hashes, test.hashes)
    assert apart.shape == (60, 12)
    for row, column in ((0, 0), (59, 11), (7, 3)):
        pair = pair_distances(source.hashes[:, [row]], test.hashes[:, [column]])
        assert apart[row, column] == pair[0]


def test_likeness_is_one_for_the_same_pixels_and_falls_with_each_difference():
    ones, none = np.ones(4, np.float32), np.zeros((4, 3))
    correlations, details = ones.copy(), ones.copy()
    colours = np.zeros(4, np.float32)
    correlations[1], details[2], colours[3] = 0.5, -0.2, 32
    flags = np.zeros(4, dtype=bool)
    scores = likeness(Alignments(correlations, details, colours, none, flags, flags))
    np.testing.assert_allclose(scores, [1, np.sqrt(0.5), 0, 0.75], rtol=1e-6)


def test_samples_are_ascending_and_the_same_each_time():
    drawn = sample_rows(1000, 10, 0, "test")
    assert drawn.tolist() == sorted(set(drawn.tolist())) == sample_rows(1000, 10, 0, "test").tolist()
    assert drawn.tolist() != sample_rows(1000, 10, 0, "source").tolist()
    assert sample_rows(5, 10, 0, "test").tolist() == [0, 1, 2, 3, 4]


def test_images_of_another_size_are_refused():
    with pytest.raises(ImageSetError, match=r"images of the source must be uint8 \(N, 64, 64, 3\).*32, 32, 3"):
        hash_images(np.zeros((2, 32, 32, 3), np.uint8), AuditSettings(), place="the source")


def test_faults_of_settings_are_listed_together():
    with pytest.raises(
        ValidationError, match=r"(?s)num_bits.*multiple of 64.*100.*recall.*less than or equal to 1.*1\.5"
    ):
        AuditSettings(num_bits=100, recall=1.5)
