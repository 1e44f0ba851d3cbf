"""A study's audit: copies of test images among what it reuses and trains on are found, shown and left out."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pretrieve.data.decode import encode_png
from pretrieve.data.image_set import ImageSet
from pretrieve.data.image_table import table_fingerprint, table_of_contents
from pretrieve.data.registry import register_target
from pretrieve.errors import UserError
from pretrieve.stages.audit import AUDITS, AuditStage
from pretrieve.stages.context import walking
from pretrieve.stages.image_sets import ImageSets, ImageSetsStage
from pretrieve.stages.observer import StudyObserver
from pretrieve.stages.selection import SelectionStage, SourceChoice
from pretrieve.stages.source_units import ClassUnits
from pretrieve.study.settings import StudySettings
from pretrieve.study.walk import run_study
from pretrieve_selection import Selection

pytestmark = pytest.mark.usefixtures("ray_cluster")

MakeSettings = Callable[..., StudySettings]
Audit = Callable[..., tuple[SourceChoice, "Ear"]]
Pixels = NDArray[np.uint8]


class Ear(StudyObserver):
    """Keeps notices, and how many comparisons were found."""

    def __init__(self) -> None:
        self.notices: list[str] = []
        self.found: list[tuple[int, int]] = []

    def stage_started(self, stage: Any, total: int, done: int = 0) -> None:
        self.found.append((total, done))

    def noticed(self, message: str) -> None:
        self.notices.append(message)


def pictures(number: int, seed: int) -> list[Pixels]:
    """Make pictures of smooth random patches."""
    rng = np.random.default_rng(seed)
    rough = rng.integers(0, 256, (number, 9, 9, 3), dtype=np.uint8)
    return [np.asarray(Image.fromarray(each).resize((96, 96), Image.Resampling.BICUBIC)) for each in rough]


def smaller_copy(picture: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(picture).resize((64, 64)))


def image_set(name: str, splits: dict[str, list[Pixels]], num_classes: int) -> ImageSet:
    tables = {}
    for split, images in splits.items():
        labels = [number % num_classes for number in range(len(images))]
        paths = [f"{name}/{split}/{number}.png" for number in range(len(images))]
        tables[split] = table_of_contents(paths, list(map(encode_png, images)), labels)
    fingerprints = {split: table_fingerprint(table) for split, table in tables.items()}
    return ImageSet(name, tuple(f"class {k}" for k in range(num_classes)), tables, fingerprints)


TEST = pictures(20, seed=1)
LEAKS = {4: 0, 9: 3}  # row of the source: its test image, classes 4 and 1 of the five


@pytest.fixture
def source() -> ImageSet:
    train = pictures(60, seed=2)
    for row, copied in LEAKS.items():
        train[row] = smaller_copy(TEST[copied])
    return image_set("pool", {"train": train}, 5)


@pytest.fixture
def target() -> ImageSet:
    train = [*pictures(19, seed=3), smaller_copy(TEST[7])]
    return image_set("birds", {"train": train, "val": pictures(6, seed=4), "test": TEST}, 2)


def choice_of(source: ImageSet, *groups: int) -> SourceChoice:
    selection = Selection("uot", groups, np.zeros(5), margin=0.0, converged=True, iterations=1)
    return SourceChoice({"birds": ClassUnits(source, "classes")}, {("birds", "uot"): selection})


@pytest.fixture
def audit() -> Audit:
    """Audit a choice, and keep what is told."""

    def run(
        settings: StudySettings, source: ImageSet, target: ImageSet, choice: SourceChoice
    ) -> tuple[SourceChoice, Ear]:
        ear = Ear()
        with walking(settings, ear) as context:
            context.results |= {ImageSetsStage: ImageSets(source, {"birds": target}), SelectionStage: choice}
            return context.get(AuditStage), ear

    return run


def test_leaks_are_recorded_shown_and_left_out_of_what_is_reused(
    make_settings: MakeSettings, audit: Audit, source: ImageSet, target: ImageSet
) -> None:
    settings = make_settings(audit={"drop_leaks": True})
    choice = choice_of(source, 4, 2)  # row 9 is of class 4 too; row 4 is
    audited, ear = audit(settings, source, target, choice)
    leaked = sorted(row for row in LEAKS if row % 5 in (4, 2))
    before = choice.units["birds"].rows([4, 2])
    assert audited.units["birds"].rows([4, 2]).tolist() == [row for row in before.tolist() if row not in leaked]
    record = json.loads((settings.folder / "audits" / "birds-source.json").read_text(encoding="utf-8"))
    assert [(pair["source_index"], pair["test_index"]) for pair in record["pairs"]] == [
        (row, LEAKS[row]) for row in leaked
    ]
    assert record["pairs"][0]["test_path"] == f"birds/test/{LEAKS[leaked[0]]}.png"
    assert f"{len(leaked)} images of the source show {len(leaked)} of the 20 test images of 'birds' and are left" in (
        "\n".join(ear.notices)
    )
    assert "1 images to train on show 1 of the 20 test images of 'birds'; their pairs" in "\n".join(ear.notices)
    names = {path.name for path in (settings.folder / AUDITS).rglob("*.*")}
    assert {"birds-source.json", "birds-train.json"} < names
    assert any(name.endswith(".png") for name in names)
    assert ear.found == [(2, 0)]
    assert audit(settings, source, target, choice)[1].found == [(2, 2)]


def test_without_drop_leaks_they_are_told_and_reused(
    make_settings: MakeSettings, audit: Audit, source: ImageSet, target: ImageSet
) -> None:
    choice = choice_of(source, 4, 2)
    audited, ear = audit(make_settings(audit=True), source, target, choice)
    assert audited.units["birds"].identity([4, 2]) == choice.units["birds"].identity([4, 2])
    assert len(ear.notices) == 2


def test_nothing_is_compared_unless_asked_for(
    make_settings: MakeSettings, audit: Audit, source: ImageSet, target: ImageSet
) -> None:
    settings, choice = make_settings(), choice_of(source, 4)
    audited, ear = audit(settings, source, target, choice)
    assert audited is choice
    assert not ear.found
    assert not (settings.folder / AUDITS).exists()


def test_selection_of_leaks_alone_is_refused(make_settings: MakeSettings, audit: Audit, target: ImageSet) -> None:
    train = [*map(smaller_copy, TEST[:4]), *pictures(40, seed=2)]
    labels = [0] * 4 + [1, 2, 3, 4] * 10
    table = table_of_contents([f"{row}.png" for row in range(44)], list(map(encode_png, train)), labels)
    source = ImageSet("pool", tuple("abcde"), {"train": table}, {"train": table_fingerprint(table)})
    with pytest.raises(UserError, match="shows no test image of 'birds', but all that 'uot' selects do; select more"):
        audit(make_settings(audit={"drop_leaks": True}), source, target, choice_of(source, 0))


def test_study_without_leaks_tells_what_they_would_be_worth(
    make_settings: MakeSettings, source: ImageSet, target: ImageSet
) -> None:
    register_target("leaky-pool")(lambda: source)
    register_target("leaky-birds")(lambda: target)
    settings = make_settings(
        source="leaky-pool",
        targets=[{"registered": "leaky-birds", "name": "birds"}],
        grid={"lr": [0.01], "weight_decay": [0.0], "source_weight": [1.0]},
        training={"epochs": 1, "batch_size": 8},
        selection={"top_k": 5},
        audit={"drop_leaks": True},
    )
    record = run_study(settings, StudyObserver())
    assert not record.cell("birds", "finetune").refits_with_leaks
    cell = record.cell("birds", "uot")
    assert len(cell.refits) == len(cell.refits_with_leaks) == 2
    assert {refit.key for refit in cell.refits}.isdisjoint(refit.key for refit in cell.refits_with_leaks)
    from pretrieve_dashboards.views.leaks import leak_rows

    (row,) = leak_rows(record)
    assert (row.method, row.num_seeds) == ("uot", 2)
    assert row.without == pytest.approx(cell.test_mean)
    report = (settings.folder / "report.html").read_text(encoding="utf-8")
    assert "Effect of the leaks on test scores" in report
    found = {audit.side: audit for audit in record.audits}
    assert found.keys() == {"source", "train"}
    assert found["source"].num_leaking > 0
    assert len(found["source"].pairs) >= found["source"].num_leaking
    assert "The leakage audit" in report
    assert "left out" in report
