"""The keys of a small study change only where somebody means to: all that users have computed hangs on them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from pretrieve.artifacts.keys import changed_fields
from pretrieve.audit.settings import AuditSettings
from pretrieve.backbones import find_architecture
from pretrieve.stages.audit import AuditStage
from pretrieve.stages.cells import Planner
from pretrieve.stages.context import Context, walking
from pretrieve.stages.features import FeaturesStage
from pretrieve.stages.image_cache import ImageCacheStage
from pretrieve.stages.image_sets import ImageSetsStage
from pretrieve.stages.observer import StudyObserver
from pretrieve.stages.relationship import RelationshipStage, trial_inputs
from pretrieve.stages.selection import SelectionStage
from pretrieve.study.study import Study
from pretrieve.training.pretraining import PretrainingSettings
from pretrieve.training.settings import AugmentationSettings, Hyperparameters, TrainingSettings
from pretrieve_selection import SelectionSettings

GOLDEN = Path(__file__).with_name("golden_keys.json")
REMEDY = f"""If this change of keys is meant, raise the version of what changed, say so in the CHANGELOG (users' studies
start anew), remove {GOLDEN.name} and run this test twice."""


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Make a study whose network has weights by rule, so that no machine's arithmetic enters a key."""
    state = find_architecture("small_resnet").build().state_dict()
    weights = {name: torch.full_like(value, 1 + place) for place, (name, value) in enumerate(state.items())}
    classifier = {"fc.weight": torch.arange(6 * 64.0).reshape(6, 64), "fc.bias": torch.zeros(6)}
    torch.save({**weights, **classifier}, tmp_path / "weights.pt")
    return Study(
        name="golden",
        source="tiny-source",
        targets=["tiny-a"],
        backbone={"name": "small_resnet", "weights": str(tmp_path / "weights.pt")},
        methods=["finetune", "random", "label", "co_tuning"],
        selection={"top_k": 2, "label_groups": {"tiny-a": [1, 4]}},
        audit=True,
        grid={"lr": [0.02], "weight_decay": [0.0], "source_weight": [0.5], "co_tuning_lr": [0.01]},
        training={"epochs": 2, "batch_size": 8},
        storage=str(tmp_path / "runs"),
    )


@pytest.mark.usefixtures("ray_cluster")
def test_the_keys_of_a_small_study_are_those_of_the_golden_file(study: Study) -> None:
    with walking(study.settings, StudyObserver()) as context:
        found = _keys(context)
    if not GOLDEN.exists():
        GOLDEN.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        pytest.fail(f"{GOLDEN} was not there, and is written now: look at it and commit it")
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert found == golden, REMEDY


def test_the_defaults_that_keys_leave_out_are_those_of_the_golden_file() -> None:
    # A key holds what differs from a default: with another default the same key would stand for another result.
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))["defaults"]
    assert _defaults() == golden, "a setting that a key leaves out at its default has got another default. " + REMEDY


def test_a_setting_at_its_default_leaves_a_key_as_it_was() -> None:
    assert changed_fields(AuditSettings()) == {}
    assert changed_fields(AuditSettings(num_bits=64)) == {"num_bits": 64}


def _keys(context: Context) -> dict[str, Any]:
    sets = context.get(ImageSetsStage)
    inputs = trial_inputs(context)
    planner = Planner(context.settings, inputs, lambda key: Path(f"{key}.jsonl"))
    cells = planner.cells()
    tasks = [task for cell in cells for task in cell.trials]
    tasks += [task for cell in cells for task in planner.refits(cell, cell.trials[0].spec.hyperparameters)]
    stages = (ImageSetsStage, FeaturesStage, SelectionStage, AuditStage, ImageCacheStage, RelationshipStage)
    root = context.store.root
    return {
        "fingerprints": {each.name: dict(each.fingerprints) for each in (sets.source, *sets.targets.values())},
        "backbone": inputs.backbone.identity,
        "artifacts": {
            stage.name: sorted(path.relative_to(root).as_posix() for path in stage().artifacts(context))
            for stage in stages
        },
        "trials": {f"{t.spec.kind} {t.spec.method} {t.spec.seed}": t.spec.key for t in tasks},
        "defaults": _defaults(),
    }


def _defaults() -> Mapping[str, Any]:
    settings = (TrainingSettings(), AugmentationSettings(), PretrainingSettings())
    plain = {type(each).__name__: each.model_dump(mode="json") for each in settings}
    plain["Hyperparameters"] = Hyperparameters(lr=0.5).model_dump(mode="json")
    dataclasses = (SelectionSettings(), AuditSettings())
    plain |= {type(each).__name__: dict(vars(each)) for each in dataclasses}
    return plain
