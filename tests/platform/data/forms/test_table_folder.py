"""Which tables of a folder are a data set: what `save_to_disk` lists, whole shards, one config."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pretrieve.data.forms.parquet_tables import load_parquet
from pretrieve.data.image_set import ImageSet
from pretrieve.data.loading import load_source
from pretrieve.data.settings import ImageSetSettings
from pretrieve.errors import ImageSetError


@pytest.fixture
def write(tmp_path: Path, png: Callable[[int], bytes]) -> Callable[..., Path]:
    """Write tables of two rows each under the given paths."""

    def make(*paths: str) -> Path:
        for number, path in enumerate(paths):
            table = pa.table({"image": [png(2 * number), png(2 * number + 1)], "label": [0, 1]})
            file = tmp_path / "set" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.suffix == ".parquet":
                pq.write_table(table, file)
            else:
                with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
                    writer.write_table(table)
        return tmp_path / "set"

    return make


def counts(image_set: ImageSet) -> dict[str, int]:
    return {split: image_set.num_images(split) for split in image_set.splits}


def list_tables(folder: Path, *names: str) -> None:
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))


def test_the_state_of_a_saved_set_decides_which_tables_count(write: Callable[..., Path]) -> None:
    names = ("data-00000-of-00002.arrow", "data-00001-of-00002.arrow")
    root = write(*names, "cache-fa52b947a2c116c9.arrow", "old.arrow")
    list_tables(root, *names)
    assert counts(load_parquet(root, name="x")) == {"train": 4}
    list_tables(root, *names, "data-2.arrow")
    with pytest.raises(ImageSetError, match=r"state\.json lists must exist, but 1 do not, the first 'data-2\.arrow'"):
        load_parquet(root, name="x")
    (root / "state.json").write_text("{")
    with pytest.raises(ImageSetError, match=r"state\.json must list the tables of its folder as save_to_disk does"):
        load_parquet(root, name="x")


def test_each_split_of_a_saved_set_has_a_state_of_its_own(write: Callable[..., Path]) -> None:
    root = write("train/data-00000-of-00001.arrow", "train/cache-1.arrow", "test/data-00000-of-00001.arrow")
    for split in ("train", "test"):
        list_tables(root / split, "data-00000-of-00001.arrow")
    assert counts(load_parquet(root, name="x")) == {"test": 2, "train": 2}


def test_a_cache_counts_where_the_state_lists_it_or_nothing_else_is_there(write: Callable[..., Path]) -> None:
    root = write("cache-1.arrow", "data.arrow")
    assert counts(load_parquet(root, name="x")) == {"train": 2}
    list_tables(root, "cache-1.arrow")
    assert counts(load_parquet(root, name="x")) == {"train": 2}
    (root / "data.arrow").unlink()
    (root / "state.json").unlink()
    assert counts(load_parquet(root, name="x")) == {"train": 2}


def test_what_datasets_saves_is_read_after_a_map(tmp_path: Path, png: Callable[[int], bytes]) -> None:
    datasets = pytest.importorskip("datasets", reason="the extra hugging-face is not installed")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["ant", "bee"])})
    images = [{"bytes": png(k), "path": None} for k in range(4)]
    data = datasets.Dataset.from_dict({"image": images, "label": [0, 1, 0, 1]}, features=features)
    datasets.DatasetDict({"train": data, "test": data.select([0])}).save_to_disk(tmp_path / "saved")
    loaded = datasets.load_from_disk(tmp_path / "saved")
    loaded["train"].cast_column("image", datasets.Image(decode=False)).map(lambda row: row, load_from_cache_file=False)
    assert len(list((tmp_path / "saved/train").glob("*.arrow"))) > 1
    assert counts(load_parquet(tmp_path / "saved", name="x")) == {"test": 1, "train": 4}


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (("train-00000-of-00002.parquet",), "complete, but .* holds 1 of 2 of 'train', not number 1; fetch the others"),
        (("train-00001-of-00003.parquet", "train-00002-of-00003.parquet"), "2 of 3 of 'train', not number 0"),
        (("data/train-00000-of-00001.parquet", "data/test-00001-of-00002.parquet"), "of 'test', not number 0"),
        (("train-00000-of-00002-ab.parquet", "train-00000-of-00002-cd.parquet"), "two versions of 'train'"),
        (("train-00000-of-00001.parquet", "train-00000-of-00002.parquet"), "two versions of 'train'"),
    ],
)
def test_shards_must_be_complete_and_there_once(
    write: Callable[..., Path], paths: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ImageSetError, match=message):
        load_parquet(write(*paths), name="x")


def test_shards_that_are_complete_or_given_one_by_one_are_read(write: Callable[..., Path]) -> None:
    root = write("train-00000-of-00002-ab.parquet", "train-00001-of-00002-cd.parquet", "test-1-of-1.parquet")
    assert counts(load_parquet(root, name="x")) == {"test": 2, "train": 4}
    assert counts(load_parquet(root / "train-00001-of-00002-cd.parquet", name="x")) == {"train": 2}


CONFIGS = {
    "the split in the file": ("full/train-0.parquet", "cropped/train-0.parquet"),
    "the split in a folder": ("full/train/0.parquet", "cropped/train/0.parquet"),
    "no split": ("full/data-00000-of-00001.arrow", "cropped/data-00000-of-00001.arrow"),
    "one in the folder itself": ("train-0.parquet", "cropped/train-0.parquet"),
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_of_several_configs_one_must_be_named(write: Callable[..., Path], kind: str) -> None:
    root = write(*CONFIGS[kind])
    with pytest.raises(ImageSetError, match=r"must be of one config, but .* perhaps the same images twice; name"):
        load_parquet(root, name="x")
    assert counts(load_parquet(root, name="x", config="cropped")) == {"train": 2}
    assert counts(load_parquet(root / "cropped", name="x")) == {"train": 2}
    settings = ImageSetSettings(parquet=root, config="cropped", name="x")
    assert counts(load_source(settings, seed=0, cache=root)) == {"train": 2}


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (("data/train-0.parquet", "data/test-0.parquet"), {"test": 2, "train": 2}),
        (("train/0.parquet", "train/more/1.parquet", "test/0.parquet"), {"test": 2, "train": 4}),
        (("photos/train-0.parquet", "labelled/test-0.parquet"), {"test": 2, "train": 2}),
        (("year=2019/0.parquet", "year=2020/0.parquet"), {"train": 4}),
        (("a/0.parquet", "b/1.parquet"), {"train": 4}),
        (("@eaDir/train-0.parquet", "train-0.parquet", ".cache/train-0.parquet"), {"train": 2}),
    ],
)
def test_folders_that_are_no_configs_are_one_set(
    write: Callable[..., Path], paths: tuple[str, ...], expected: dict[str, int]
) -> None:
    assert counts(load_parquet(write(*paths), name="x")) == expected


def test_a_config_that_is_none_is_refused_with_the_nearest(write: Callable[..., Path]) -> None:
    root = write("full/train-0.parquet", "cropped/train-0.parquet")
    with pytest.raises(
        ImageSetError, match=r"config of 'x' must be a folder .*, but 'croped' is none. Did you mean 'cropp"
    ):
        load_parquet(root, name="x", config="croped")
    (root / "t.csv").write_text("path,label\n")
    with pytest.raises(ValueError, match="'config' is of a 'parquet', but csv is given; leave it out"):
        ImageSetSettings.model_validate({"csv": str(root / "t.csv"), "config": "full"})
