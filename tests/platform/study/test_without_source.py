"""A study without a source: the rows that reuse nothing run, and what needs one is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pretrieve.backbones import find_architecture
from pretrieve.errors import StudyFileError
from pretrieve.study.settings import StudySettings
from pretrieve.study.study import Study

ROWS = ["class_means", "linear_probe", "finetune", "finetune_longer"]


@pytest.mark.parametrize(
    ("changes", "reader"),
    [
        ({"methods": ["finetune", "random", "uot"]}, "the row 'random', the row 'uot' reads it"),
        ({"methods": ["co_tuning"]}, "the row 'co_tuning' reads it"),
        (
            {"backbone": {"name": "small_resnet", "pretrain": {"epochs": 1}}},
            "source: must be given where backbone.pretrain",
        ),
    ],
)
def test_what_reads_a_source_is_named_where_there_is_none(
    make_settings: Callable[..., StudySettings], changes: dict[str, object], reader: str
) -> None:
    with pytest.raises(StudyFileError, match=reader):
        make_settings(**{"source": None, "backbone": "resnet18", "methods": ROWS, **changes})


def test_rows_that_reuse_nothing_are_planned_and_run_without_a_source(
    make_settings: Callable[..., StudySettings], tmp_path: Path, ray_cluster: None
) -> None:
    torch.save(find_architecture("small_resnet").build().state_dict(), tmp_path / "weights.pt")
    settings = make_settings(
        source=None,
        targets=["tiny-a"],
        backbone={"name": "small_resnet", "weights": str(tmp_path / "weights.pt")},
        methods=ROWS,
        grid={"lr": [0.02]},
    )
    study = Study.from_settings(settings)
    stages = {each.stage for each in study.plan().stages}
    assert "trials" in stages
    assert "selection" not in stages
    record = study.run()
    assert list(study.table().index) == ROWS
    assert record.settings["source"] is None
    assert not list((settings.folder / "cards").glob("tiny-source*"))
