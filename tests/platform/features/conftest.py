from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from pretrieve.backbones import Backbone, _base, find_architecture
from pretrieve.backbones.backbone import identify
from pretrieve.backbones.state_dicts import write_weights
from pretrieve.data.decode import decode_square, encode_png, read_content
from pretrieve.data.image_table import table_of_contents
from pretrieve.errors import ImageSetError


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """A small network with random weights and batch-norm statistics of its own."""
    architecture = find_architecture("small_resnet")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = architecture.build()
        network(torch.randn((64, 3, 32, 32)))  # in training mode: moves the running statistics off their start
    path = tmp_path_factory.mktemp("backbone") / "weights.pt"
    write_weights(network.state_dict(), path)
    return Backbone(architecture.name, path, identify(architecture, network.state_dict()))


@pytest.fixture(scope="session")
def make_table() -> Callable[..., pa.Table]:
    """Make an image table of random images that are not square; those at `broken` are no images."""

    def make(name: str, labels: Sequence[int], *, broken: Sequence[int] = ()) -> pa.Table:
        rng = np.random.default_rng(len(labels))
        contents = [encode_png(rng.integers(0, 256, (40, 56, 3), dtype=np.uint8)) for _ in labels]
        for row in broken:
            contents[row] = b"broken"
        return table_of_contents([f"{name}/{row}" for row in range(len(labels))], contents, labels)

    return make


@pytest.fixture(scope="session")
def reference_features() -> Callable[[Backbone, pa.Table], list[torch.Tensor | None]]:
    """Features by a plain loop, an image at a time; None where the image does not decode."""

    def compute(backbone: Backbone, table: pa.Table) -> list[torch.Tensor | None]:
        network, preprocessing = backbone.load().eval(), backbone.architecture.preprocessing
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
        margin = (preprocessing.resize_size - preprocessing.image_size) // 2
        inner = slice(margin, margin + preprocessing.image_size)
        features: list[torch.Tensor | None] = []
        for row in table.to_pylist():
            try:
                square = decode_square(read_content(row["path"], row["content"]), preprocessing.resize_size)
            except (ImageSetError, OSError):
                features.append(None)
                continue
            image = torch.from_numpy(square.copy())[inner, inner].permute(2, 0, 1) / 255
            with torch.inference_mode():
                features.append(network(((image - mean) / std)[None])[0])
        return features

    return compute


@pytest.fixture
def cropping_backbone(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> Backbone:
    """The same network behind squares of 38 pixels of which it sees the inner 32."""
    small = backbone.architecture
    cropping = replace(small, name="cropping", preprocessing=replace(small.preprocessing, resize_size=38))
    monkeypatch.setitem(_base._architectures, "cropping", cropping)
    return Backbone("cropping", backbone.weights_path, "cropping")
