"""`pretrieve init` writes a study file that `validate` accepts for every layout, or says why there is none."""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pretrieve.cli import app as cli
from pretrieve.data.drawn_sets import drawn_set, folds_of
from pretrieve.data.loading import load_whole
from pretrieve.study.settings import StudySettings
from pretrieve.study.study_file import load_study_file

CLASSES = ("robin", "tit", "wren [x]")


def picture(number: int) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write_tree(root: Path, per_class: int, classes: Iterable[str] = CLASSES) -> None:
    for label, name in enumerate(classes):
        for number in range(per_class):
            file = root / name / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(picture(1000 * label + 10 * number + len(root.name)))


def flat(root: Path) -> Path:
    write_tree(root / "birds", 4)
    return root / "birds"


def train_test(root: Path) -> Path:
    write_tree(root / "birds" / "train", 6)
    write_tree(root / "birds" / "test", 2)
    return root / "birds"


def train_val_test(root: Path) -> Path:
    write_tree(root / "birds" / "train", 3)
    write_tree(root / "birds" / "val", 1)
    write_tree(root / "birds" / "test", 2)
    return root / "birds"


def csv_table(root: Path) -> Path:
    """A folder with all images in one place, and a table of other column names beside it."""
    write_tree(root / "birds" / "all images", 4)
    with (root / "birds" / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(["Filename", "species", "Class"])
        for name in CLASSES:
            lines.writerows([f"all images/{name}/{number}.png", "Aves", name] for number in range(4))
    return root / "birds"


def parquet(root: Path) -> Path:
    rows = [(picture(10 * label + number), name) for label, name in enumerate(CLASSES) for number in range(4)]
    pq.write_table(
        pa.table({"img": [row[0] for row in rows], "label": [row[1] for row in rows]}), root / "birds.parquet"
    )
    return root / "birds.parquet"


def hugging_face(root: Path) -> Path:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(CLASSES))})
    splits = {}
    for split, per_class in {"train": 4, "test": 1}.items():
        labels = [label for label in range(len(CLASSES)) for _ in range(per_class)]
        images = [{"bytes": picture(number + len(split)), "path": None} for number in range(len(labels))]
        splits[split] = datasets.Dataset.from_dict({"image": images, "label": labels}, features=features)
    datasets.DatasetDict(splits).save_to_disk(root / "birds")
    return root / "birds"


def hugging_face_hub(root: Path) -> Path:
    """As the hub keeps a data set: a card, and Parquet shards named by their splits in the folder `data`."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    (root / "birds" / "data").mkdir(parents=True)
    (root / "birds" / "README.md").write_text("# Birds", encoding="utf-8")
    for split, per_class in {"train": 4, "test": 1}.items():
        names = [name for name in CLASSES for _ in range(per_class)]
        images = pa.array([{"bytes": picture(k + len(split)), "path": None} for k in range(len(names))], kind)
        file = root / "birds" / "data" / f"{split}-00000-of-00001.parquet"
        pq.write_table(pa.table({"image": images, "label": names}), file)
    return root / "birds"


def archive(root: Path, kind: str) -> Path:
    """An archive whose images lie in a folder of its own name, as such are packed."""
    write_tree(root / "packed" / "birds", 4)
    made = Path(shutil.make_archive(str(root / "birds"), kind, root / "packed"))
    shutil.rmtree(root / "packed")
    return made


def class_missing_in_test(root: Path) -> Path:
    write_tree(root / "birds" / "train", 4)
    write_tree(root / "birds" / "test", 2, CLASSES[:2])
    return root / "birds"


def one_image_a_class(root: Path) -> Path:
    write_tree(root / "birds", 1)
    return root / "birds"


def one_image_a_class_with_test(root: Path) -> Path:
    write_tree(root / "birds" / "train", 1)
    write_tree(root / "birds" / "test", 2)
    return root / "birds"


def nothing(root: Path) -> Path:
    (root / "birds").mkdir()
    (root / "birds" / "notes.txt").write_text("no image", encoding="utf-8")
    return root / "birds"


def one_folder(root: Path) -> Path:
    write_tree(root / "birds", 3, ["."])
    return root / "birds"


def command(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main([*map(str, words)])
    return int(ended.value.code or 0)


def init(*words: object) -> int:
    return command("init", *words)


def check_that_it_can_be_drawn(settings: StudySettings, cache: Path) -> None:
    """Draw each repeat and its folds, as a run does before it trains."""
    (target,) = settings.targets
    whole = load_whole(target, seed=0, cache=cache)
    assert isinstance(settings.folds, int)
    for repeat in range(settings.repeats.draws):
        drawn, _ = drawn_set(whole, target, repeat=repeat, seed=settings.seed, has_folds=True)
        folds_of(drawn, settings.folds, settings.seed)


@pytest.mark.parametrize(
    ("make", "num_folds", "holds_out", "words"),
    [
        (flat, 3, True, ["12 images (train 12)", "3 of each class or more are labelled"]),
        (train_test, 5, False, ["(train 18, test 6)"]),
        (train_val_test, 4, False, ["(train 9, val 3, test 6)"]),
        (csv_table, 3, True, ["columns: {image: Filename, label: Class}"]),
        (parquet, 3, True, ["parquet: birds.parquet", "columns: {image: img}"]),
        (hugging_face, 4, False, ["(train 12, test 3)", "'robin'"]),
        (hugging_face_hub, 4, False, ["parquet: birds,", "(train 12, test 3)"]),
        (lambda root: archive(root, "zip"), 3, True, ["folder: birds/birds", "12 images"]),
        (lambda root: archive(root, "gztar"), 3, True, ["folder: birds/birds", "12 images"]),
        (class_missing_in_test, 4, False, ["1 class has no test image", "'wren [x]'"]),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_each_layout_becomes_a_study_file_that_validates(
    make: Callable[[Path], Path], num_folds: int, holds_out: bool, words: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "study.yaml"
    assert init(make(tmp_path), "--out", out) == 0
    settings = load_study_file(out)
    assert settings.folds == num_folds
    assert settings.targets[0].test_fraction == (0.2 if holds_out else None)
    check_that_it_can_be_drawn(settings, tmp_path / "cache")
    for word in words:
        assert word in out.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (one_image_a_class, r"at least 2 training images to hold one out for the test, but .*'robin'.*; add images"),
        (
            one_image_a_class_with_test,
            "at least 2 labelled images, .* each of the 3 classes of 'birds' has 1; label more",
        ),
        (nothing, "must hold images, but .*birds holds none; known suffixes: .*; give the folder, table or archive"),
        (one_folder, "must have classes, but those of .*birds lie in one folder; move those of each class"),
        (lambda root: root / "gone", "must exist, but .*gone does not; check the path"),
    ],
)
def test_where_no_study_is_possible_the_reason_is_said_and_nothing_is_written(
    make: Callable[[Path], Path], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert init(make(tmp_path), "--out", tmp_path / "study.yaml") == 2
    assert re.search(reason, capsys.readouterr().err)
    assert not (tmp_path / "study.yaml").exists()


def test_the_written_file_passes_the_command_validate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tree(tmp_path / "source", 2, [f"group {k}" for k in range(4)])
    out = tmp_path / "study.yaml"
    words = [flat(tmp_path), "--out", out, "--source", tmp_path / "source", "--backbone", "resnet18@32"]
    assert init(*words) == 0
    settings = load_study_file(out)
    assert "uot" in settings.method_names
    assert (settings.selection.top_k, settings.backbone.name) == (3, "resnet18@32")
    assert command("validate", out, "--storage", tmp_path / "runs") == 0
    assert "settings and networks are right" in capsys.readouterr().out


def test_a_file_that_is_there_is_kept_unless_it_is_to_be_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, out = flat(tmp_path), tmp_path / "study.yaml"
    out.write_text("mine", encoding="utf-8")
    assert init(images, "--out", out) == 2
    assert out.read_text(encoding="utf-8") == "mine"
    assert "--force to replace it" in capsys.readouterr().err
    assert init(images, "--out", out, "--force") == 0
    assert load_study_file(out).name == "birds-study"


@pytest.mark.parametrize("name", ["vögel & co", "cache", "average", "a: b #c"])
def test_images_of_any_name_become_a_study(name: str, tmp_path: Path) -> None:
    flat(tmp_path).rename(tmp_path / name)
    assert init(tmp_path / name, "--out", tmp_path / "study.yaml") == 0
    assert load_study_file(tmp_path / "study.yaml").targets[0].folder == tmp_path / name
