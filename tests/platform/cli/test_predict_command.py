"""`pretrieve predict` and `pretrieve export`, on a model's folder, and on mistakes."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from small_model import CLASS_NAMES, SmallModel, make_model

from pretrieve.cli import app as cli

STUDY = """
name: colours
source: characters
targets: [digits, greek]
backbone: {name: small_resnet, pretrain: {epochs: 1}}
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SmallModel:
    return make_model(tmp_path_factory.mktemp("model"))


def run(*words: object) -> object:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(map(str, words)))
    return ended.value.code


@pytest.fixture
def photos(model: SmallModel, tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for number, content in enumerate(model.images):
        (folder / "more" / f"{number:02}.PNG").write_bytes(content)
    (folder / "notes.txt").write_text("x", encoding="utf-8")
    return folder


def test_a_folder_of_photos_becomes_a_table_with_class_scores(
    model: SmallModel, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("predict", model.folder, photos, "--csv", tmp_path / "classes.csv") == 0
    said = capsys.readouterr().err
    assert "not read, as their names are none of images: 1, the first:" in said
    assert "21 files: 0 undecided, 0 no image" in said
    with (tmp_path / "classes.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class_name"] for row in rows] == [CLASS_NAMES[label] for label in model.labels]
    scores = model.class_scores(model.images)
    for name, column in zip(CLASS_NAMES, scores.T, strict=True):
        assert [float(row[f"score {name}"]) for row in rows] == pytest.approx(column.tolist(), rel=1e-4)
    assert all(1 / 3 < float(row["probability"]) <= 1 for row in rows)


def test_files_that_are_no_images_are_named_and_low_probabilities_undecided(
    model: SmallModel, photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(photos)
    (photos / "broken.jpg").write_bytes(b"no image")
    words = ["more/00.PNG", "gone.png", "broken.jpg"]
    assert run("predict", model.folder, *words, "--abstain-below", "1") == 1
    said = capsys.readouterr()
    undecided, gone, broken = (line.strip() for line in said.out.splitlines()[1:4])
    assert undecided.split()[:2] == ["more/00.PNG", "undecided"]
    assert gone.split(maxsplit=1) == ["gone.png", "no image: there is no such file"]
    assert broken.startswith("broken.jpg   no image: ImageSetError: an image must decode")
    assert "3 files: 1 undecided, 2 no image" in said.err


def test_a_model_without_a_temperature_does_not_abstain(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make_model(tmp_path, temperature=None)
    assert run("predict", made.folder, photos, "--abstain-below", "0.9", "--csv", tmp_path / "out.csv") == 2
    assert "has no temperature" in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()


def test_what_names_no_model_or_no_image_is_an_error(
    model: SmallModel, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "study.yaml").write_text(STUDY, encoding="utf-8")
    study = tmp_path / "study.yaml"
    (tmp_path / "empty").mkdir()
    for words, message in (
        (["models:/a@champion", photos], "MLFLOW_TRACKING_URI is not set; set it, or name the study file"),
        ([study, photos], "--target must be one of the study's, digits, greek, but none is given"),
        ([study, photos, "--target", "greeek"], "but it is 'greeek'. Did you mean 'greek'?"),
        ([study, photos, "--target", "greek", "--storage", tmp_path], "run its study first, or name the --storage"),
        ([tmp_path / "none.yaml", photos], "none.yaml"),
        ([tmp_path / "empty", photos], "must hold a file MLmodel"),
        ([model.folder, tmp_path / "empty"], "there must be an image to predict, but"),
    ):
        assert run("predict", *words) == 2, message
        assert message in " ".join(capsys.readouterr().err.split())


def test_a_model_is_exported(model: SmallModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("export", model.folder, tmp_path / "w.safetensors", "--to", "safetensors") == 0
    assert run("export", model.folder, tmp_path / "w.onnx", "--to", "onnx") == 0
    side = model.preprocessing.resize_size
    assert f"input `images`, (N, {side}, {side}, 3) uint8" in capsys.readouterr().out
    assert (tmp_path / "w.onnx").exists()
    assert (tmp_path / "w.safetensors").exists()
