"""A registered model on this disk: what it predicts, of which files, and in which other formats."""

from __future__ import annotations

import importlib
import io
import json
import sys
from pathlib import Path

import mlflow
import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from small_model import CLASS_NAMES, SmallModel

from pretrieve.artifacts.atomic_files import read_json, write_json
from pretrieve.backbones import find_architecture
from pretrieve.backbones.state_dicts import write_weights
from pretrieve.data.decode import decode_square
from pretrieve.errors import BackboneError, UserError
from pretrieve.tracking.exported_model import export_onnx, export_safetensors
from pretrieve.tracking.model_files import REQUIREMENTS, carry_code, export_network
from pretrieve.tracking.registered_model import RegisteredModel, predict_files


def encoded(picture: Image.Image, image_format: str) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, image_format)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def pictures() -> list[bytes]:
    """Images whose pixels are hard to read right: strips, palettes, 16 bits, transparency, lossy formats."""
    draw = np.random.default_rng(0)
    colours = Image.fromarray(draw.integers(0, 256, (45, 70, 3), dtype=np.uint8))
    grey = Image.fromarray(draw.integers(0, 2**16, (40, 33), dtype=np.uint16))
    drawn = Image.new("RGBA", (50, 50), (0, 0, 0, 0))
    drawn.paste((0, 0, 0, 255), (10, 10, 30, 40))
    of_format = [(colours, name) for name in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")]
    strip = colours.resize((3, 200))
    return [encoded(*each) for each in [*of_format, (grey, "PNG"), (drawn, "PNG"), (strip, "PNG")]]


def test_the_code_that_a_model_carries_decodes_the_same_pixels(
    pictures: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = carry_code(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    carried = importlib.import_module(f"{package.name}.data.decode")
    try:
        for content in pictures:
            np.testing.assert_array_equal(carried.decode_square(content, 32), decode_square(content, 32))
    finally:
        for name in [name for name in sys.modules if name.startswith(package.name)]:
            del sys.modules[name]


def test_a_models_class_scores_are_those_of_its_network_to_the_bit(
    small_model: SmallModel, pictures: list[bytes]
) -> None:
    model = mlflow.pyfunc.load_model(str(small_model.folder))
    images = [*pictures, *small_model.images]
    found = model.predict(pd.DataFrame({"image": images}), params={"class_scores": True})
    scores = small_model.class_scores(images)
    assert torch.equal(torch.tensor(found["class_scores"].tolist()), scores)
    likelihoods = (scores / 2).softmax(1).max(1)  # the model's temperature is 2
    np.testing.assert_allclose(found["probability"], likelihoods.values, rtol=1e-6)
    assert found["class_index"].tolist() == likelihoods.indices.tolist()
    assert found["class_name"].tolist() == [CLASS_NAMES[index] for index in likelihoods.indices]
    assert found["class_index"].tolist()[len(pictures) :] == small_model.labels


def test_a_model_names_what_it_needs_and_nothing_of_ours(small_model: SmallModel) -> None:
    lines = (small_model.folder / "requirements.txt").read_text(encoding="utf-8").split()
    assert [line.partition("==")[0] for line in lines] == list(REQUIREMENTS)
    assert f"torch=={torch.__version__.partition('+')[0]}" in lines
    code = "".join(path.read_text(encoding="utf-8") for path in small_model.folder.rglob("*.py"))
    assert "from pretrieve." not in code


def test_a_model_abstains_by_its_calibrated_probability_alone(small_model: SmallModel, tmp_path: Path) -> None:
    frame = pd.DataFrame({"image": small_model.images})
    model = mlflow.pyfunc.load_model(str(small_model.folder))
    whole = model.predict(frame)
    limit = float(whole["probability"].median())
    found = model.predict(frame, params={"abstain_below": limit})
    is_low = whole["probability"] < limit
    assert 0 < is_low.sum() < len(frame)
    assert found["class_name"].isna().equals(is_low)
    assert (found["class_index"][is_low] == -1).all()
    assert found["probability"].equals(whole["probability"])
    with pytest.raises(ValueError, match=r"abstain_below must be a probability in \[0, 1\], but is 1\.5"):
        model.predict(frame, params={"abstain_below": 1.5})
    card = small_model.folder / "artifacts" / "card.json"
    fields = read_json(card)
    try:
        write_json(card, fields | {"temperature": None})
        uncalibrated = mlflow.pyfunc.load_model(str(small_model.folder))
    finally:
        write_json(card, fields)
    assert (uncalibrated.predict(frame)["probability"] > whole["probability"]).all()
    with pytest.raises(ValueError, match=r"no temperature: none of its images were held out.*`folds: 5`"):
        uncalibrated.predict(frame, params={"abstain_below": 0.9})
    with pytest.raises(UserError, match="must be a probability"):
        list(predict_files(RegisteredModel(small_model.folder), [tmp_path / "no.png"], abstain_below=2))


def test_each_file_has_its_prediction_or_the_reason_why_not(small_model: SmallModel, tmp_path: Path) -> None:
    files = {"a.png": small_model.images[0], "text.jpg": b"no image", "b.png": small_model.images[-1]}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    names = ["a.png", "gone.png", "text.jpg", "b.png", "a.png", "."]
    found = list(predict_files(RegisteredModel(small_model.folder), [tmp_path / name for name in names]))
    assert [each.path.name for each in found[:-1]] == names[:-1]
    first, last = (CLASS_NAMES[small_model.labels[place]] for place in (0, -1))
    assert [each.class_name for each in found] == [first, None, None, last, first, None]
    reasons = ["", "no such file", "cannot identify image file", "", "", "IsADirectoryError"]
    assert all(
        (reason in each.error) if reason else not each.error for each, reason in zip(found, reasons, strict=True)
    )
    scores = small_model.class_scores(small_model.images[:1])[0]
    assert found[0].class_scores == pytest.approx(scores.tolist(), rel=1e-5), (
        "batches of other sizes differ in the last bits"
    )


def test_a_folder_that_is_no_model_of_ours_is_refused(small_model: SmallModel, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"must hold a file MLmodel, but .* does not"):
        RegisteredModel(tmp_path)
    (tmp_path / "MLmodel").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match=r"an earlier version of Pretrieve.*run its study again"):
        RegisteredModel(tmp_path)


def test_onnx_gives_the_class_scores_of_torch_for_any_number_of_images(small_model: SmallModel, tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    assert export_onnx(RegisteredModel(small_model.folder), path) <= 1e-4
    session = onnxruntime.InferenceSession(path)
    side = small_model.preprocessing.resize_size
    for images in (small_model.images[:1], small_model.images):
        squares = np.stack([decode_square(content, side) for content in images])
        (scores,) = session.run(["class_scores"], {"images": squares})
        np.testing.assert_allclose(scores, small_model.class_scores(images), atol=1e-4)
    assert scores.argmax(1).tolist() == small_model.labels
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["class_names"]) == list(CLASS_NAMES)
    assert json.loads(about["preprocessing"])["resize_size"] == side
    assert json.loads(about["temperature"]) == 2.0


def test_safetensors_hold_the_weights_by_their_names(small_model: SmallModel, tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    export_safetensors(RegisteredModel(small_model.folder), path)
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["class_names"]) == list(CLASS_NAMES)
        state = small_model.network.state_dict()
        assert set(file.keys()) == set(state)
        assert all(torch.equal(file.get_tensor(name), value) for name, value in state.items())


class Branching(torch.nn.Module):
    """A network whose path depends on the numbers of an image, which no export can follow."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        means = images.mean((2, 3))
        return self.layer(means if float(means.sum()) > 0 else -means)


def test_a_network_that_torch_cannot_export_is_named(tmp_path: Path) -> None:
    from dataclasses import replace

    architecture = replace(find_architecture("small_resnet"), name="branching", feature_dim=4, build=Branching)
    state = {f"backbone.{name}": value for name, value in Branching().state_dict().items()}
    state |= {"target_head.weight": torch.zeros(2, 4), "target_head.bias": torch.zeros(2)}
    write_weights(state, tmp_path / "w.pt")
    with pytest.raises(BackboneError, match=r"torch\.export can export.*'branching' ends in"):
        export_network(architecture, tmp_path / "w.pt", num_classes=2)
