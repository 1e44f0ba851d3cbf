"""What to fetch of a source whose pixels are elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from pretrieve.data.fetch_list import FetchList, list_files
from pretrieve.errors import ImageSetError

NAMES = ("n02 hen", "n01 tench")


def test_the_files_of_the_classes_with_their_size(tmp_path: Path) -> None:
    index = tmp_path / "index.txt"
    index.write_text("train/n01/a b.jpg\t10\ntrain/n03/n01.jpg\t99\n\ntrain/n02/c.jpg\t5\n", encoding="utf-8")
    assert list_files(NAMES, index) == FetchList(("train/n01/a b.jpg", "train/n02/c.jpg"), 15)


def test_imagenets_own_list_has_numbers_and_no_sizes(tmp_path: Path) -> None:
    index = tmp_path / "train_cls.txt"
    index.write_text("n01/n01_7 1\nn02/n02_9 2\nn03/n03_4 3\n", encoding="utf-8")
    assert list_files(NAMES, index) == FetchList(("n01/n01_7", "n02/n02_9"), None)


def test_a_name_without_an_identifier_is_that_of_its_folder(tmp_path: Path) -> None:
    index = tmp_path / "index.txt"
    index.write_text("black stork/1.jpg\t1\nblack/2.jpg\t2\nn01 tench/3.jpg\t4\n", encoding="utf-8")
    assert list_files(("black stork", "n01 tench"), index) == FetchList(("black stork/1.jpg", "n01 tench/3.jpg"), 5)


def test_without_an_index_the_folders_are_listed_in_the_order_of_the_ranks() -> None:
    assert list_files(NAMES, None) == FetchList(("n02/", "n01/"), None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "n01/a.jpg\n",
            r"must hold files of each selected class.* has none of 1 of 2, the first 'n02'; give the index",
        ),
        ("n01/a.jpg\tbig\n", r"must be the size of the file in bytes, but at .*index.txt, line 1 is 'big'; write"),
        (None, r"must be a text file of the source's paths in UTF-8, but .*index.txt cannot be read"),
    ],
)
def test_a_wrong_index_is_named(tmp_path: Path, text: str | None, said: str) -> None:
    index = tmp_path / "index.txt"
    if text is not None:
        index.write_text(text, encoding="utf-8")
    with pytest.raises(ImageSetError, match=said):
        list_files(NAMES, index)
