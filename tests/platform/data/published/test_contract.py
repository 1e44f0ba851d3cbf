"""The contract of published data sets, run over all eight in their official layouts."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from published_miniatures import Miniature, write_miniature

from pretrieve.data.image_set import ImageSet
from pretrieve.data.published.catalogue import PUBLISHED, find_published
from pretrieve.errors import ImageSetError, UserError

NAMES = ("stanford_dogs", "stanford_cars", "cub", "pets", "sun397", "aircraft", "dtd", "caltech101")
LISTED = tuple(name for name in NAMES if name != "caltech101")

APPENDIX_A = {
    "stanford_dogs": (120, {"train": 12000, "test": 8580}, "top1"),
    "stanford_cars": (196, {"train": 8144, "test": 8041}, "top1"),
    "cub": (200, {"train": 5994, "test": 5794}, "top1"),
    "pets": (37, {"train": 3680, "test": 3669}, "mean_per_class"),
    "sun397": (397, {"train": 19850, "test": 19850}, "top1"),
    "aircraft": (100, {"train": 3334, "val": 3333, "test": 3333}, "mean_per_class"),
    "dtd": (47, {"train": 1880, "val": 1880, "test": 1880}, "top1"),
    "caltech101": (101, {"train": 30 * 101, "test": 8677 - 30 * 101}, "mean_per_class"),
}


def _read(name: str, root: Path, *, seed: int = 0) -> ImageSet:
    return find_published(name).read(root, name=f"my {name}", seed=seed)


def _listed(image_set: ImageSet, split: str, root: Path) -> list[tuple[str, int]]:
    table = image_set.splits[split]
    files = [Path(path).relative_to(root).as_posix() for path in table["path"].to_pylist()]
    return list(zip(files, table["label"].to_pylist(), strict=True))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def test_the_catalogue_has_the_eight_targets_under_their_names():
    assert tuple(PUBLISHED) == NAMES
    assert all(published.name == name for name, published in PUBLISHED.items())


def test_an_unknown_name_is_refused_with_the_nearest_one():
    with pytest.raises(UserError, match=r"must be one of stanford_dogs, .*'stanford_car'\. Did you mean 'stanford_c"):
        find_published("stanford_car")


@pytest.mark.parametrize("name", NAMES)
def test_the_facts_are_those_of_appendix_a(name):
    facts = PUBLISHED[name].facts
    assert (facts.num_classes, dict(facts.num_images), facts.metric) == APPENDIX_A[name]


@pytest.mark.parametrize("name", NAMES)
def test_archives_are_named_and_checked_as_far_as_their_publishers_allow(name):
    facts = PUBLISHED[name].facts
    assert facts.archives
    assert facts.licence
    assert facts.page.startswith("http")
    for archive in facts.archives:
        assert archive.md5 is None or re.fullmatch(r"[0-9a-f]{32}", archive.md5)
        assert archive.url is None or (archive.url.startswith("http") and archive.url.endswith(f"/{archive.file}"))


@pytest.mark.parametrize("name", NAMES)
def test_the_official_layout_has_what_the_archives_are_said_to_contain(name, root):
    write_miniature(name, root)
    for archive in PUBLISHED[name].facts.archives:
        assert (root / archive.contains).exists(), archive.contains


@pytest.mark.parametrize("name", LISTED)
def test_classes_labels_and_splits_are_those_of_the_lists(name, root):
    written = write_miniature(name, root)
    image_set = _read(name, root)
    assert (image_set.name, image_set.class_names) == (f"my {name}", written.class_names)
    assert image_set.metric == written.metric
    assert list(image_set.splits) == list(PUBLISHED[name].facts.num_images) == list(written.splits)
    for split, table in image_set.splits.items():
        assert _listed(image_set, split, root) == written.splits[split]
        assert table["index"].to_pylist() == list(range(table.num_rows))
        assert table["content"].null_count == table.num_rows
        assert all(Path(path).is_file() for path in table["path"].to_pylist())


@pytest.mark.parametrize("name", NAMES)
def test_a_moved_set_keeps_its_fingerprints(name, root, tmp_path):
    write_miniature(name, root)
    before = _read(name, root).fingerprints
    shutil.move(root, tmp_path / "elsewhere")
    assert _read(name, tmp_path / "elsewhere").fingerprints == before
    assert set(before) == set(PUBLISHED[name].facts.num_images)


@pytest.mark.parametrize("name", NAMES)
def test_load_compares_the_counts_with_the_published_ones(name, root):
    write_miniature(name, root)
    facts = PUBLISHED[name].facts
    found = {split: f"{table.num_rows:,}" for split, table in _read(name, root).splits.items()}
    expected = {split: f"{number:,}" for split, number in facts.num_images.items()}
    with pytest.raises(ImageSetError) as caught:
        PUBLISHED[name].load(root)
    for num_classes, counts in ((facts.num_classes, expected), (3, found)):
        splits = ", ".join(f"{split} {number}" for split, number in counts.items())
        assert f"{num_classes} classes ({splits})" in str(caught.value)
    assert facts.title in str(caught.value)


@pytest.mark.parametrize("name", LISTED)
def test_each_list_that_is_missing_is_named(name, root):
    written = write_miniature(name, root)
    assert written.lists
    for file in written.lists:
        content = (root / file).read_bytes()
        (root / file).unlink()
        with pytest.raises(ImageSetError, match=re.escape(f"the list {root / file} must be where its publisher")):
            _read(name, root)
        (root / file).write_bytes(content)
    _read(name, root)


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_that_is_not_there_is_refused(name, root):
    with pytest.raises(ImageSetError, match=r"must be where its publisher lays it out, but is not there; unpack"):
        _read(name, root)


def _listed_files(written: Miniature) -> list[str]:
    return [file for listed in written.splits.values() for file, _ in listed]


@pytest.mark.parametrize("name", LISTED)
def test_missing_images_are_counted_and_the_first_are_named(name, root):
    written = write_miniature(name, root)
    total = len(_listed_files(written))
    missing = [file for file, _ in written.splits["test"]][:4]
    for file in missing:
        (root / file).unlink()
    first = re.escape(", ".join(missing[:3]))
    with pytest.raises(ImageSetError, match=rf"must be there, but 4 of {total} are not, the first {first}; unpack the"):
        _read(name, root)


@pytest.mark.parametrize("name", NAMES)
def test_the_real_set_has_the_published_counts(name):
    data = os.environ.get("PRETRIEVE_DATA")
    if data is None or not (Path(data) / name).is_dir():
        pytest.skip(f"the real {name} is not here; set PRETRIEVE_DATA to a folder that has it as {name}/")
    image_set = PUBLISHED[name].load(Path(data) / name)
    assert image_set.num_classes == APPENDIX_A[name][0]
    assert {split: table.num_rows for split, table in image_set.splits.items()} == APPENDIX_A[name][1]
