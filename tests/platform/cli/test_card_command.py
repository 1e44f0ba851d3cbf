"""`pretrieve card` on a folder, a registered name, and on mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pretrieve.cli import app as cli


def card(*words: object) -> object:
    with pytest.raises(SystemExit) as ended:
        cli.main(["card", *map(str, words)])
    return ended.value.code


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for split in ("train", "test"):
        for number, name in enumerate(("ant", "bee")):
            (tmp_path / "animals" / split / name).mkdir(parents=True)
            pixels = np.full((9, 9, 3), 100 * number, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "animals" / split / name / "1.png")
    (tmp_path / "animals" / "train" / "notes.txt").write_text("x", encoding="utf-8")
    return tmp_path / "animals"


def test_options_say_where_splits_lie_and_what_folders_in_classes_are(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert card(tree, "--split", "train=test") == 0
    out = capsys.readouterr().out
    assert out.startswith("animals: 2 classes, 2 images (all read)")
    assert "1 folder is beside those of the splits, and in none: 'train/'" in out
    assert card(tree, "--split", "train=.") == 2
    assert "if these are the classes, say subfolders: classes" in capsys.readouterr().err
    assert card(tree, "--split", "train=.", "--subfolders", "classes") == 0
    assert "animals: 4 classes, 4 images" in capsys.readouterr().out
    assert card(tree, "--split", "train") == 2
    assert "--split must read train=FOLDER, but is 'train'" in capsys.readouterr().err
    assert card(tree, "--subfolders", "class") == 2
    assert "--subfolders must be classes or images, but is 'class'" in capsys.readouterr().err


def test_a_folder_is_described_and_printed_as_json(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert card(tree, "--json") == 0
    printed = capsys.readouterr()
    out = printed.err.lstrip()  # a progress bar came before
    assert out.startswith("animals: 2 classes, 4 images (all read), scored by top1")
    assert "2 test images are exact copies of training images" in out
    assert "1 file in the folder is in no split" in out
    told = json.loads(printed.out)
    assert (told["record"], told["version"]) == ("card", 1)
    assert told["counts"] == {"train": [1, 1], "test": [1, 1]}
    assert told["passed_over"] == ["train/notes.txt"]


def test_a_registered_name_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    assert card("tiny-a", "--max-images", "5") == 0
    assert "tiny-a: 3 classes, 48 images (a sample of 5 read)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("tiny-aa", "Did you mean 'tiny-a'?"),
        ("./nowhere", "/nowhere does not"),
        ("os:getcwd", "ImageSet"),
    ],
)
def test_a_mistake_is_one_message(reference: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert card(reference) == 2
    assert message in capsys.readouterr().err
