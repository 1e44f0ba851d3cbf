import numpy as np
import pyarrow as pa
import pytest

from pretrieve.audit.known_copies import ALTERATIONS, alter
from pretrieve.audit.sharded_audit import audit_over_ray, decode_table
from pretrieve.data.decode import encode_png
from pretrieve.data.image_table import SCHEMA, table_of_contents
from pretrieve.errors import ImageSetError


def _table(images, name):
    contents = [encode_png(image) for image in images]
    return table_of_contents([f"{name}/{row}" for row in range(len(images))], contents, [0] * len(images))


def _broken(table, row):
    contents = table["content"].to_pylist()
    contents[row] = b"no image"
    return table.set_column(2, SCHEMA.field("content"), pa.array(contents, pa.binary()))


@pytest.fixture(scope="module")
def images(make_pictures):
    source, test = make_pictures(60, seed=40), make_pictures(15, seed=41)
    rng = np.random.default_rng(0)
    for row, name in enumerate(ALTERATIONS):
        source[7 * row + 1] = alter(test[row : row + 1], name, rng)[0]
    return source, test


def test_tables_decode_without_their_broken_images(images):
    source, _ = images
    decoded = decode_table(_broken(_table(source, "source"), 4), 64)
    np.testing.assert_array_equal(decoded.images, np.delete(source, 4, axis=0))
    assert decoded.indices.tolist() == [row for row in range(60) if row != 4]
    (broken,) = decoded.broken
    assert broken.startswith("source/4: an image must decode")


@pytest.mark.usefixtures("ray_cluster")
def test_shards_change_nothing_and_broken_images_are_left_out(images, small_settings):
    source, test = images
    tables = _broken(_table(source, "source"), 4), _broken(_table(test, "test"), 12)
    progress = []
    reports = [
        audit_over_ray(
            *tables,
            settings=small_settings,
            rows_per_shard=rows_per_shard,
            on_progress=lambda *counts: progress.append(counts),
        )
        for rows_per_shard in (60, 13)
    ]
    assert reports[0] == reports[1]
    assert progress[:2] == [(0, 60), (60, 60)]
    assert progress[2:] == sorted(progress[2:])
    assert progress[-1] == (60, 60)
    assert (reports[0].num_source, reports[0].num_test) == (59, 14)
    assert len(reports[0].broken_source) == len(reports[0].broken_test) == 1
    found = [(pair.source_index, pair.test_index) for pair in reports[0].pairs]
    assert found == [(7 * row + 1, row) for row in range(len(ALTERATIONS))]


@pytest.mark.usefixtures("ray_cluster")
def test_a_cluster_finds_what_one_process_finds(images, small_settings, audit_in_process):
    source, test = images
    over_ray = audit_over_ray(_table(source, "source"), _table(test, "test"), settings=small_settings)
    assert over_ray == audit_in_process(source, test, small_settings)


@pytest.mark.usefixtures("ray_cluster")
def test_a_test_split_of_broken_images_alone_is_refused(images, small_settings):
    table = _table(images[1][:1], "test")
    with pytest.raises(ImageSetError, match=r"must have an image that decodes.*test/0"):
        audit_over_ray(table, _broken(table, 0), settings=small_settings)
