"""Studies of the same settings, whose repeats ran on different machines, joined into one."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pretrieve.artifacts.atomic_files import read_json
from pretrieve.cli.app import main
from pretrieve.errors import UserError
from pretrieve.records import ContrastVerdict, StudyRecord, VerdictRecord
from pretrieve.records.codec import from_json
from pretrieve.records.predictions import KeptPredictions, predictions_path, write_predictions
from pretrieve.stages.observer import StudyObserver
from pretrieve.study.merge import (
    RECORD_FILE,
    Part,
    StudyPlace,
    _check_test_images,
    check_parts,
    joined_record,
    merged_verdict,
)
from pretrieve.study.settings import StudySettings
from pretrieve.study.walk import run_study
from pretrieve.testing.study_records import finished_study, make_trial
from pretrieve_dashboards import score_table

LABELS = np.arange(20, dtype=np.int32) % 2
IMAGES = [f"image-{number}" for number in range(20)]
SETTINGS: Mapping[str, Any] = {
    "seed": 0,
    "margin": 1.0,
    "contrasts": None,
    "repeats": {"draws": 3, "looks": "many", "shared_seed": 7},
    "targets": [{"folder": "/data/birds", "metric": None}],
    "grid": {"lr": [0.1]},
}


def part_of(folder: Path, seed: int, num_right: Mapping[str, list[int]], machine: str = "a", **changes: Any) -> Part:
    """Make a study on one target; `num_right` are the right ones of twenty predictions of each row and repeat."""
    base = finished_study()
    cells = []
    for method, counts in num_right.items():
        refits = []
        for repeat, count in enumerate(counts):
            key = f"{seed}-{method}-{repeat}"
            predicted = np.where(np.arange(20) < count, LABELS, 1 - LABELS)
            kept = KeptPredictions(
                key=key,
                target="birds",
                method=method,
                seed=repeat,
                class_names=("x", "y"),
                made_with={"machine": machine, "threads": str(repeat)},
                images=np.array(changes.get("images", IMAGES)),
                labels=LABELS,
                scores=np.eye(2, dtype=np.float32)[predicted],
            )
            write_predictions(predictions_path(folder, key), kept)
            refits.append(replace(make_trial(key, kind="refit", score=count / 20, seed=repeat), repeat=repeat))
        cells.append(
            replace(base.cell("birds", method), refits=tuple(refits), num_planned=len(counts), trials=(), choices=())
        )
    said = (ContrastVerdict("uot", "finetune", "birds", "undecided", "", (), 0.0, None, None, None),)
    record = replace(
        base,
        targets=base.targets[:1],
        cells=tuple(cells),
        settings={**SETTINGS, "seed": seed} | changes.get("settings", {}),
        verdict=VerdictRecord(0.01, 3, changes.get("looks", (3,)), said),
        tracking_uri=f"sqlite:////{seed}/mlflow.db",
    )
    place = StudyPlace("birds", folder, record.tracking_uri)
    identities = {"backbone_identity": frozenset({changes.get("weights", "w")}), "data.source_fingerprint": frozenset()}
    return Part(place, record, identities, changes.get("first_repeat", 0))


FIRST = {"finetune": [10, 11, 12], "uot": [12, 14, 13]}
SECOND = {"finetune": [8, 9, 7], "uot": [15, 16, 15]}


def test_the_repeats_of_both_count_and_machines_are_blocks(tmp_path: Path) -> None:
    parts = [
        part_of(tmp_path / "a", 0, FIRST),
        part_of(tmp_path / "b", 1, SECOND, machine="b", first_repeat=3, looks=(2, 3)),
    ]
    check_parts(parts)
    verdict = merged_verdict(parts, looks_before=(5, 6))
    (contrast,) = verdict.contrasts
    # Differences of twenty images: 2, 3, 1 on one machine and 7, 7, 8 on the other.
    assert contrast.differences == pytest.approx([0.10, 0.15, 0.05, 0.35, 0.35, 0.40])
    assert (verdict.num_repeats, verdict.looks, contrast.is_exploratory) == (6, (2, 3, 5, 6), False)
    one_machine = [parts[0], part_of(tmp_path / "c", 1, SECOND, first_repeat=3, looks=(2, 3))]
    (unblocked,) = merged_verdict(one_machine, looks_before=(5, 6)).contrasts
    assert contrast.low is not None
    assert unblocked.low is not None
    assert contrast.low > unblocked.low, "what the machines differ by is no spread"

    record = joined_record(parts, "both")
    cell = record.cell("birds", "uot")
    assert [(refit.repeat, refit.score) for refit in cell.refits] == list(enumerate([0.6, 0.7, 0.65, 0.75, 0.8, 0.75]))
    assert cell.test_mean == pytest.approx(85 / 120)
    assert [bool(refit.run_id) for refit in cell.refits] == [True] * 3 + [False] * 3
    assert record.settings["repeats"] == {"draws": 6, "looks": "many", "shared_seed": 7}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"settings": {"grid": {"lr": [0.2]}}}, r"grid\.lr is \[0\.1\] and \[0\.2\]"),
        ({"settings": {"repeats": {"draws": 3, "looks": "many", "shared_seed": 8}}}, "what repeats share is 7 and 8"),
        ({"weights": "v"}, "backbone_identity is w and v"),
    ],
)
def test_what_differs_is_named(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=f"must differ in their machine and seed alone, but .*{said}"):
        check_parts([part_of(tmp_path / "a", 0, FIRST), part_of(tmp_path / "b", 1, SECOND, **changes)])


def test_other_folders_and_numbers_of_repeats_do_not_matter(tmp_path: Path) -> None:
    elsewhere = {
        "targets": [{"folder": "/mnt/birds", "metric": None}],
        "repeats": {"draws": 9, "looks": "many", "shared_seed": 7},
        "storage": "/mnt/runs",
    }
    check_parts([part_of(tmp_path / "a", 0, FIRST), part_of(tmp_path / "b", 1, SECOND, settings=elsewhere)])


def test_the_same_draws_are_not_counted_twice(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="must have draws of their own, but their seeds are 0, 0"):
        check_parts([part_of(tmp_path / "a", 0, FIRST), part_of(tmp_path / "b", 0, SECOND)])


def test_other_test_images_are_refused(tmp_path: Path) -> None:
    other = part_of(tmp_path / "b", 1, SECOND, images=[*IMAGES[:-1], "another"])
    with pytest.raises(UserError, match=r"tested on the same images, but those of birds differ .*: 20, 20 images"):
        _check_test_images([part_of(tmp_path / "a", 0, FIRST), other])


def test_without_predictions_there_is_no_verdict(tmp_path: Path) -> None:
    parts = [part_of(tmp_path / "a", 0, FIRST), part_of(tmp_path / "b", 1, SECOND)]
    for part in parts:
        shutil.rmtree(part.place.folder / "predictions")
    with pytest.raises(UserError, match="1 contrasts and 0 repeats with predictions of all their rows"):
        merged_verdict(parts)


@pytest.mark.usefixtures("ray_cluster")
def test_studies_are_merged_from_copies_of_their_folders(
    make_settings: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two real studies that share a pre-training; the folder of one comes from elsewhere."""

    def settings(seed: int, name: str) -> StudySettings:
        made: StudySettings = make_settings(
            name=name,
            seed=seed,
            targets=[{"registered": "tiny-a", "regime": {"images_per_class": 6}}],
            methods=["linear_probe", "class_means"],
            contrasts=[["linear_probe", "class_means"]],
            repeats={"draws": 2, "shared_seed": 0},
            grid={"l2": [10.0]},
        )
        return made

    both = [settings(0, "here"), settings(1, "there")]
    records = [run_study(each, StudyObserver()) for each in both]
    moved = tmp_path / "copied" / "there"
    shutil.move(both[1].folder, moved)
    into = tmp_path / "merged"
    with pytest.raises(SystemExit) as ended:
        main(["merge", str(both[0].folder), str(moved), "--into", str(into)])
    assert not ended.value.code, capsys.readouterr().err
    merged = from_json(StudyRecord, read_json(into / RECORD_FILE), "the record")
    assert merged.verdict is not None
    assert merged.verdict.looks == (2, 4)
    expected = [each for record in records if record.verdict for each in record.verdict.contrasts[0].differences]
    assert list(merged.verdict.contrasts[0].differences) == expected
    assert merged.verdict.contrasts[0].sentence in capsys.readouterr().out.replace("\n", " ")
    assert (into / "table.csv").read_text() == score_table(merged).to_csv()
    assert "here" not in (into / "report.html").read_text().partition("</title>")[0]
