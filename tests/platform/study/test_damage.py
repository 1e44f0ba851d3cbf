"""What is damaged of a study never ends in another number: the file is named and made again, or one error says so."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from damage import DAMAGES, KINDS, damage, files_of

from pretrieve.artifacts.sealed_files import read_sealed
from pretrieve.errors import DamagedArtifactError, DamagedSpoolError, PretrieveError
from pretrieve.stages.observer import StudyObserver, TrialEvent
from pretrieve.study.study import Study
from pretrieve.tracking.spool import read_spool

pytestmark = pytest.mark.usefixtures("ray_cluster")

FIELDS: dict[str, Any] = {
    "name": "damaged",
    "source": "tiny-source",
    "targets": ["tiny-a"],
    "recipe": "paper2022",
    "backbone": {"name": "small_resnet", "pretrain": {"epochs": 1, "batch_size": 16, "lr": 0.02}},
    "methods": ["finetune", "uot", "co_tuning"],
    "selection": {"unit": "cluster", "num_clusters": 6, "top_k": 2},
    "audit": {"drop_leaks": True},
    "grid": {"lr": [0.02, 0.01], "weight_decay": [0.0], "source_weight": [0.5], "co_tuning_lr": [0.01]},
    "training": {"epochs": 2, "batch_size": 8},
    "refit": {"num_seeds": 1},
    "compute": {"cpus_per_trial": "auto"},
}


class KilledError(BaseException):
    """Stands for the end of the driver."""


class Ear(StudyObserver):
    """Keeps the notices; ends the study when so many trials have ended."""

    def __init__(self, num_trials: int | None = None) -> None:
        self.notices: list[str] = []
        self._left = num_trials

    def noticed(self, message: str) -> None:
        self.notices.append(message)

    def trial_event(self, event: TrialEvent) -> None:
        if event.state == "finished" and self._left is not None:
            self._left -= 1
            if self._left == 0:
                raise KilledError


def table_of(study: Study) -> list[list[str]]:
    rows = [row.split(",") for row in (study.settings.folder / "table.csv").read_text(encoding="utf-8").splitlines()]
    return [row[: rows[0].index("trial_seconds")] for row in rows]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, list[list[str]]]:
    """A study that ran to its end, and its table."""
    study = Study(**FIELDS, storage=str(tmp_path_factory.mktemp("finished")))
    study.run(Ear())
    return study, table_of(study)


def test_every_kind_of_file_is_there_to_be_damaged(finished: tuple[Study, list[list[str]]]) -> None:
    # Checkpoints and spools of finished trials are removed.
    there = {kind for kind in KINDS if files_of(finished[0].settings.storage, kind)}
    assert there | {"checkpoints", "spools"} == set(KINDS)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("checkpoints", "spools")])
def test_a_flipped_bit_is_found_wherever_it_is(finished: tuple[Study, list[list[str]]], kind: str) -> None:
    rng = random.Random(kind)
    paths = files_of(finished[0].settings.storage, kind)
    for _ in range(50):
        path = rng.choice(paths)
        content = path.read_bytes()
        damage(path, "flipped", rng)
        with pytest.raises(DamagedArtifactError):
            read_sealed(path)
        path.write_bytes(content)
        read_sealed(path)


def damage_each_kind(study: Study, rng: random.Random) -> None:
    """Damage a file of each kind, each in a way of its own."""
    for number, kind in enumerate(KINDS):
        paths = files_of(study.settings.storage, kind)
        if paths:
            damage(rng.choice(paths), DAMAGES[number % len(DAMAGES)], rng)


def test_a_finished_study_has_the_same_table_whatever_is_damaged(finished: tuple[Study, list[list[str]]]) -> None:
    study, table = finished
    damage_each_kind(study, random.Random(1))
    run_until_whole(study)
    assert table_of(study) == table


def test_a_study_that_was_killed_half_way_ends_with_the_same_table(
    finished: tuple[Study, list[list[str]]], tmp_path: Path
) -> None:
    shutil.copytree(finished[0].settings.cache, tmp_path / "cache")
    study = Study(**FIELDS, storage=str(tmp_path))
    with pytest.raises(KilledError):
        study.run(Ear(num_trials=2))
    damage_each_kind(study, random.Random(3))
    run_until_whole(study)
    assert table_of(study) == finished[1]


def run_until_whole(study: Study) -> None:
    """Run a study again: at most one clear error comes before the run that ends well."""
    for _ in range(4):
        ear = Ear()
        try:
            study.run(ear)
        except PretrieveError as error:
            said = "\n".join([str(error), *ear.notices])
            assert (
                "damaged" in said or "must hold the bytes" in said or "not there" in said or "No such file" in said
            ), said
        else:
            return
    pytest.fail("the study did not come to its end")


def test_a_damaged_line_of_a_spool_is_never_read_as_another(tmp_path: Path) -> None:
    from pretrieve.tracking.spool import Spool

    spool = Spool(tmp_path / "key.jsonl")
    for epoch in range(1, 6):
        spool.write_epoch(epoch, {"val/score": 0.1 * epoch})
    spool.write_end("finished", {"test/score": 0.5})
    whole, content = read_spool(tmp_path / "key.jsonl"), (tmp_path / "key.jsonl").read_bytes()
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << (place % 8)
        (tmp_path / "key.jsonl").write_bytes(changed)
        try:
            read = read_spool(tmp_path / "key.jsonl")
        except (DamagedSpoolError, PretrieveError):
            continue
        assert read == whole[: len(read)], f"byte {place}"
