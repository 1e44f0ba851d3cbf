import numpy as np
import pyarrow as pa
import pytest

from pretrieve.features import stored_features
from pretrieve.features.stored_features import (
    FeatureRequest,
    feature_array,
    feature_key,
    make_feature_matrix,
    path_of,
    read_labelled_features,
    write_shard,
)


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch):
    monkeypatch.setattr(stored_features, "ROWS_PER_SHARD", 4)


def _shard(features, errors, labels):
    rows = len(labels)
    return pa.table(
        {
            "index": pa.array(range(rows), pa.int64()),
            "path": [f"image {row}" for row in range(rows)],
            "label": pa.array(labels, pa.int64()),
            "error": pa.array(errors, pa.string()),
            "feature": feature_array(features, errors),
        }
    )


def _read_one(table, tmp_path, make_table):
    request = FeatureRequest("key", make_table("a", range(table.num_rows)))
    write_shard(table, request.shard_path(tmp_path, 0))
    (block,) = request.blocks(tmp_path)
    return block


@pytest.mark.parametrize("broken", [[], [0], [3], [1, 2], [0, 1, 2, 3]], ids=str)
def test_broken_rows_are_nan_on_disk_and_left_out_when_read(rng, tmp_path, make_table, broken):
    features = rng.normal(size=(4, 3)).astype(np.float32)
    errors = ["no image" if row in broken else None for row in range(4)]
    column = feature_array(features, errors)
    assert column.null_count == 0  # pyarrow writes a null fixed-size list to Parquet, but cannot read it
    values = column.flatten().to_numpy().reshape(4, 3)
    assert np.isnan(values).all(axis=1).tolist() == [row in broken for row in range(4)]
    assert np.isnan(values).any(axis=1).tolist() == [row in broken for row in range(4)]
    block = _read_one(_shard(features, errors, [7, 8, 9, 10]), tmp_path, make_table)
    good = [row for row in range(4) if row not in broken]
    assert block.features.dtype == np.float32
    np.testing.assert_array_equal(block.features, features[good])
    assert block.labels.tolist() == [7 + row for row in good]
    assert block.broken == tuple(f"image {row}: no image" for row in broken)


def test_shards_cover_all_rows_in_order(make_table):
    request = FeatureRequest("key", make_table("a", range(10)))
    assert request.num_shards == 3
    rows = [request.shard_rows(shard)["index"].to_pylist() for shard in range(3)]
    assert rows == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


@pytest.mark.parametrize(("num_images", "num_shards"), [(0, 0), (1, 1), (4, 1), (5, 2), (8, 2)])
def test_the_last_shard_is_never_empty(make_table, num_images, num_shards):
    assert FeatureRequest("key", make_table("a", range(num_images))).num_shards == num_shards


def test_only_absent_shards_are_missing_and_reading_over_one_is_an_error(rng, tmp_path, make_table):
    request = FeatureRequest("key", make_table("a", range(10)))
    assert request.missing_shards(tmp_path) == [0, 1, 2]
    write_shard(
        _shard(rng.normal(size=(4, 2)).astype(np.float32), [None] * 4, range(4)), request.shard_path(tmp_path, 0)
    )
    assert request.missing_shards(tmp_path) == [1, 2]
    blocks = request.blocks(tmp_path)
    assert len(next(blocks).labels) == 4
    with pytest.raises(FileNotFoundError, match="shard-00001-of-00003"):
        next(blocks)


def test_shards_of_one_table_and_of_a_longer_one_do_not_meet(tmp_path, make_table):
    def path(key, shard, num_shards):
        return FeatureRequest(key, make_table("a", range(4 * num_shards))).shard_path(tmp_path, shard)

    assert len({path(key, 0, count) for key in ("a", "b") for count in (1, 2)}) == 4
    assert path("a", 1, 12).relative_to(tmp_path).as_posix() == "a/shard-00001-of-00012.parquet"


def test_backbone_and_images_decide_the_key():
    assert feature_key("b", "i") == feature_key("b", "i")
    assert len({feature_key("b", "i"), feature_key("i", "b"), feature_key("b2", "i"), feature_key("b", "i2")}) == 4


def _stored(rng, tmp_path, make_table, key, num_images, broken=()):
    """Features of a table whose labels are 10 · row, in shards of four."""
    request = FeatureRequest(key, make_table(key, range(num_images)))
    features = rng.normal(size=(num_images, 2)).astype(np.float32)
    for shard in range(request.num_shards):
        rows = range(4 * shard, min(4 * shard + 4, num_images))
        errors = ["no image" if row in broken else None for row in rows]
        table = _shard(features[rows], errors, [10 * row for row in rows])
        names = [f"image {row}" for row in rows]
        table = table.set_column(0, "index", pa.array(rows, pa.int64())).set_column(1, "path", pa.array(names))
        write_shard(table, request.shard_path(tmp_path, shard))
    return request, features


def test_rows_of_several_tables_are_read_in_the_order_asked_for(rng, tmp_path, make_table):
    _, first = _stored(rng, tmp_path, make_table, "a", 6, broken=(1, 4))
    _, second = _stored(rng, tmp_path, make_table, "b", 5, broken=(0,))
    # Rows 0 … 5 are of the first table, 6 … 10 of the second; 1, 4 and 6 are broken.
    features, labels = read_labelled_features([tmp_path / "a", tmp_path / "b"], np.array([10, 4, 5, 6, 0, 7]))
    assert labels.tolist() == [40, 50, 0, 10]
    np.testing.assert_array_equal(features, [second[4], first[5], first[0], second[1]])


def test_features_of_drawn_rows_are_those_of_the_whole_table(rng, tmp_path, make_table):
    request, features = _stored(rng, tmp_path, make_table, "a", 10, broken=(2, 5))
    drawn = FeatureRequest("a", request.table.set_column(1, "path", pa.array([f"image {row}" for row in range(10)])))
    drawn = drawn.drawn(np.array([1, 2, 4, 9]), "of rows")
    blocks = list(drawn.blocks(tmp_path))
    assert np.concatenate([block.rows for block in blocks]).tolist() == [0, 2, 3]
    np.testing.assert_array_equal(np.concatenate([block.features for block in blocks]), features[[1, 4, 9]])
    assert [name for block in blocks for name in block.broken] == ["image 2: no image"]
    matrix = make_feature_matrix(drawn, tmp_path)
    np.testing.assert_array_equal(matrix.features, features[[1, 4, 9]])
    assert matrix.rows.tolist() == [0, 2, 3]
    assert (tmp_path / "of rows").is_dir()


@pytest.mark.parametrize(
    ("broken", "path"),
    [("/a/b.png: no image", "/a/b.png"), ("/photos: 2024/0.png: no image: x", "/photos: 2024/0.png"), ("c: x", None)],
)
def test_the_path_of_a_broken_image_may_hold_a_colon(broken, path):
    assert path_of(broken, {"/a/b.png", "/photos: 2024/0.png"}) == path
