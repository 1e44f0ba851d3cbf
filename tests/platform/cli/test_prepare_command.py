"""`pretrieve prepare` and `pretrieve targets` over a catalogue of a test's own."""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from pretrieve.cli import app as cli
from pretrieve.data.folder_tree import load_folder_tree
from pretrieve.data.image_set import ImageSet
from pretrieve.data.published._base import Archive, PublishedFacts, PublishedSet
from pretrieve.errors import UserError


class Birds(PublishedSet):
    """One archive, fetched by hand."""

    name = "birds"
    facts = PublishedFacts(
        title="Two Birds of the Same Feather, the 2011 Edition",
        num_classes=2,
        num_images={"train": 2, "test": 2},
        metric="mean_per_class",
        split="official train and test",
        licence="research only [see the page]",
        page="https://birds.example/with/a/long/path/to/its/home/page.html",
        archives=(Archive("birds.tar", None, None, "set", "set/train"),),
    )

    def read(self, root: Path, *, name: str, seed: int) -> ImageSet:
        return load_folder_tree(root / "set", name=name, metric="mean_per_class")


class Cats(Birds):
    """Two archives, one of them served with a third inside."""

    name = "cats-and-dogs"
    facts = PublishedFacts(
        title="Cats and Dogs",
        num_classes=37,
        num_images={"train": 10_000, "val": 2_000, "test": 13_333},
        metric="top1",
        split="official",
        licence="CC BY-SA 4.0",
        page="https://cats.example",
        archives=(
            Archive("cats.tgz", "https://cats.example/cats.tgz", "0" * 32, ".", "cats"),
            Archive("dogs.tgz", None, None, ".", "dogs"),
            Archive("cats/lists.zip", None, None, ".", "lists"),
        ),
    )


@pytest.fixture(autouse=True)
def catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalogue of these two in place of the published eight."""
    sets = {"birds": Birds(), "cats-and-dogs": Cats()}

    def find_published(name: str) -> PublishedSet:
        if name not in sets:
            raise UserError(f"a published set must be one of birds, cats-and-dogs, but is {name!r}")
        return sets[name]

    module: Any = ModuleType("pretrieve.data.published.catalogue")
    module.PUBLISHED, module.find_published = sets, find_published
    monkeypatch.setitem(sys.modules, "pretrieve.data.published.catalogue", module)


def pretrieve(*words: object) -> Any:
    with pytest.raises(SystemExit) as ended:
        cli.main([*map(str, words)])
    return ended.value.code


def write_archive(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        for number, name in enumerate(f"{split}/{bird}/0.png" for split in ("train", "test") for bird in "ab"):
            buffer = io.BytesIO()
            Image.fromarray(np.full((4, 4, 3), 60 * number, dtype=np.uint8)).save(buffer, "PNG")
            info = tarfile.TarInfo(name)
            info.size = buffer.tell()
            archive.addfile(info, io.BytesIO(buffer.getvalue()))


def test_a_prepared_set_is_described_with_the_lines_of_a_study(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "my: birds"
    root.mkdir()
    write_archive(root / "birds.tar")
    assert pretrieve("prepare", "birds", "--root", root) == 0
    printed = capsys.readouterr().out
    for words in ("unpacking birds.tar", "is ready", "classes  2", "train 2, test 2", "mean_per_class"):
        assert words in printed
    study = yaml.safe_load(printed[printed.index("targets:") :])
    assert study == {"targets": [{"published": "birds", "folder": str(root)}]}
    assert pretrieve("prepare", "birds", "--root", root) == 0
    assert "unpacking" not in capsys.readouterr().out


def test_a_file_to_fetch_is_one_message_with_status_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pretrieve("prepare", "birds", "--root", tmp_path / "new") == 2
    error = capsys.readouterr().err
    assert f"{tmp_path}/new/birds.tar" in error
    assert "licence: research only [see the page]" in error
    assert "https://birds.example/with/a/long/path/to/its/home/page.html" in error
    assert pretrieve("prepare", "bird", "--root", tmp_path) == 2
    assert "must be one of birds" in capsys.readouterr().err


@pytest.mark.parametrize("width", [80, 120])
def test_all_targets_are_listed_within_the_width(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert pretrieve("targets") == 0
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert max(len(line) for line in lines) <= width
    row = next(line for line in lines if line.startswith(" cats-and-dogs"))
    for words in ("37", "10,000", "2,000", "13,333", "top-1", "1 of 2 served"):
        assert words in row
    assert "–" in next(line for line in lines if line.startswith(" birds"))
    assert "by hand" in printed
    for words in (Birds.facts.title, Birds.facts.split, Birds.facts.licence, Birds.facts.page):
        assert words in printed
    assert {"characters", "digits", "symbols"} <= set(printed.split())


def test_everything_about_one_target_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert pretrieve("targets", "cats-and-dogs") == 0
    printed = capsys.readouterr().out
    for words in (
        "train 10,000, val 2,000, test 13,333",
        "CC BY-SA 4.0",
        "https://cats.example/cats.tgz",
        "by hand",
        "comes inside",
    ):
        assert words in printed
    assert "pretrieve prepare cats-and-dogs --root DIR" in printed
    assert pretrieve("targets", "digits") == 0
    assert "targets: [digits]" in capsys.readouterr().out
    assert pretrieve("targets", "nothing") == 2


@pytest.mark.parametrize("command", ["prepare", "targets"])
def test_help_teaches(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert pretrieve(command, "--help") == 0
    assert f"pretrieve {command} NAME" in " ".join(capsys.readouterr().out.split())
