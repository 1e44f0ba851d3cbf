"""Small studies that run in seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from smaller_sets import coloured_set

from pretrieve.components import TARGETS
from pretrieve.data.registry import register_target
from pretrieve.execution.measuring import packing, speed
from pretrieve.study.settings import StudySettings
from pretrieve.study.study_file import validate_study


@pytest.fixture(scope="session", autouse=True)
def tiny_sets() -> None:
    """Register a source of six groups and two targets of three classes."""
    register_target("tiny-source", version="1")(lambda: coloured_set("tiny-source", 6, per_class=8, num_test=0, seed=0))
    for number, name in enumerate(("tiny-a", "tiny-b")):
        register_target(name)(
            lambda name=name, number=number: coloured_set(name, 3, per_class=10, num_test=6, seed=1 + number)
        )


@pytest.fixture(scope="session", autouse=True)
def quick_measurements() -> Iterator[None]:
    """Measure speeds for half a second each: no test compares a forecast with the clock."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(packing, "MEASURED_S", 0.5)
        monkeypatch.setattr(speed, "MEASURED_S", 0.5)
        yield


@pytest.fixture(autouse=True)
def no_target_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away the targets that a test registers: other tests list them, or look their words up."""
    monkeypatch.setattr(TARGETS, "_registered", dict(TARGETS._registered))


@pytest.fixture(scope="session")
def tiny_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all small studies: what is keyed by content may be shared."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def tiny_fields(tmp_path: Path, tiny_cache: Path) -> dict[str, Any]:
    """Settings of a study that runs in a few seconds; tests change what they need."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "cache").symlink_to(tiny_cache)
    return {
        "name": "tiny",
        "source": "tiny-source",
        "targets": ["tiny-a", "tiny-b"],
        "recipe": "paper2022",
        "backbone": {"name": "small_resnet", "pretrain": {"epochs": 1, "batch_size": 16, "lr": 0.02}},
        "methods": ["finetune", "uot"],
        "selection": {"top_k": 2},
        "grid": {"lr": [0.02, 0.01], "weight_decay": [0.0], "source_weight": [0.5]},
        "training": {"epochs": 2, "batch_size": 8},
        "storage": str(tmp_path / "runs"),
    }


@pytest.fixture
def make_settings(tiny_fields: dict[str, Any]) -> Callable[..., StudySettings]:
    """Build validated settings of the tiny study with some fields replaced."""

    def make(**changes: Any) -> StudySettings:
        return validate_study({**tiny_fields, **changes}, origin="the test's study", base=Path())

    return make
