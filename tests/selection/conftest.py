import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings as hypothesis_settings
from numpy.typing import NDArray

BACKBONES = ("resnet18_supervised", "resnet50_moco_v2")

# Times differ too much between machines for a deadline, and a fixed seed keeps a red run red.
hypothesis_settings.register_profile("selection", deadline=None, derandomize=True, max_examples=40)
hypothesis_settings.load_profile("selection")


@dataclass(frozen=True)
class ClassMeans:
    """Real centroids: ImageNet-1k as source, one target."""

    source: NDArray[np.float64]
    target: NDArray[np.float64]
    source_names: list[str]


@pytest.fixture(scope="session")
def class_means_folder() -> Path:
    shared = Path(os.environ.get("PRETRIEVE_SHARED", Path(__file__).parents[3] / "shared"))
    folder = shared / "data" / "class_means"
    if not folder.is_dir():
        pytest.skip(f"the real class centroids are not at {folder}; set PRETRIEVE_SHARED to the folder of shared data")
    return folder


@pytest.fixture(scope="session")
def load_class_means(class_means_folder: Path) -> Callable[[str, str], ClassMeans]:
    def load(backbone: str, target: str) -> ClassMeans:
        with (
            np.load(class_means_folder / backbone / "imagenet.npz") as source_arrays,
            np.load(class_means_folder / backbone / f"{target}.npz") as target_arrays,
        ):
            return ClassMeans(
                source_arrays["means"], target_arrays["means"], [str(name) for name in source_arrays["names"]]
            )

    return load


@pytest.fixture(params=BACKBONES)
def backbone(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
