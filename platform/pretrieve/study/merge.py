"""Joining studies of the same settings, whose repeats ran on different machines, into one record and verdict."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from pretrieve.artifacts.atomic_files import read_json, write_json
from pretrieve.data.metric_words import find_metrics
from pretrieve.errors import UserError
from pretrieve.intervals import mean_and_ci95
from pretrieve.records import CellRecord, StudyRecord, TrialRecord, VerdictRecord
from pretrieve.records.codec import from_json, to_json
from pretrieve.records.predictions import read_predictions
from pretrieve.stages.verdict import Kept, Pair, common_repeats, contrast_records, judge, kept_of_record
from pretrieve.statistics import verdicts
from pretrieve.study.settings import DEFAULT_CONTRASTS
from pretrieve.tracking import schema

RECORD_FILE = "record.json"

OWN = ("name", "seed", "storage", "compute", "budget", "report", "repeats.draws", "repeats.shared_seed")
"""Settings in which studies that are merged may differ: they decide neither the question nor how it is answered."""

DECIDES = ("compute.workers_per_trial",)
"""One of them that decides results: workers share a batch."""

DATA = ("backbone_identity", "data.source_fingerprint")
"""Parameters of refits that must be the same: the weights of the network, and the images of the source."""


class StudyPlace(NamedTuple):
    """Where a study that ran is: its name, its folder with the predictions, and the address of its MLflow store."""

    name: str
    folder: Path
    tracking_uri: str


@dataclass(frozen=True)
class Part:
    """One of the studies to merge.

    Attributes:
      place: where it is.
      record: what it recorded.
      identities: the values of each of DATA that its refits have.
      first_repeat: the number that its first repeat has among those of all parts.
    """

    place: StudyPlace
    record: StudyRecord
    identities: Mapping[str, frozenset[str]]
    first_repeat: int = 0

    @cached_property
    def num_repeats(self) -> int:
        """How many repeats it began."""
        return 1 + max((refit.repeat for cell in self.record.cells for refit in cell.refits), default=-1)

    @cached_property
    def kept(self) -> Kept:
        """Its predictions, by target, row and repeat among those of all parts."""
        found = kept_of_record(self.record, self.place.folder)
        return {(target, row, self.first_repeat + repeat): path for (target, row, repeat), path in found.items()}

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What must be the same in all parts: no settings of OWN, and no places of files on its machine."""
        settings = dict(_flat(self.record.settings))
        shared = settings.get("repeats.shared_seed")
        same = {name: value for name, value in settings.items() if name in DECIDES or not name.startswith(OWN)}
        return same | {"the seed of what repeats share": settings.get("seed") if shared is None else shared}

    @property
    def seed(self) -> Any:
        return self.record.settings.get("seed")


def merge_studies(places: Sequence[StudyPlace], folder: Path) -> StudyRecord:
    """Join two or more studies; write `record.json`, `verdict.json`, `report.html` and `table.csv` into a folder.

    Their repeats count as those of one study, with the machine as a block (see `spread_of`). The looks of each count,
    those at earlier mergers into the same folder, and this one.

    Raises:
      UserError: they differ in more than the machine and the seed, which the message names; or have the same draws.
      DashboardError: MLflow's store of one does not answer, or holds no such study.
    """
    if len(places) < 2:
        raise UserError(f"two or more studies are merged, but {len(places)} is given; name the folder of each")
    parts = [_read(place) for place in places]
    check_parts(parts)
    offsets = accumulate((part.num_repeats for part in parts), initial=0)
    parts = [replace(part, first_repeat=offset) for part, offset in zip(parts, offsets, strict=False)]
    _check_test_images(parts)
    before = folder / schema.VERDICT_ARTIFACT
    looks = from_json(VerdictRecord, read_json(before), str(before)).looks if before.exists() else ()
    record = replace(joined_record(parts, folder.name), verdict=merged_verdict(parts, looks))
    _write(record, folder)
    return record


def check_parts(parts: Sequence[Part]) -> None:
    """Check that studies ask the same question of the same data with draws of their own.

    Raises:
      UserError: they do not; the message names every difference.
    """
    first, *others = parts
    for other in others:
        found = [
            f"{name} is {first.settings.get(name)!r} and {other.settings.get(name)!r}"
            for name in sorted({*first.settings, *other.settings})
            if first.settings.get(name) != other.settings.get(name)
        ]
        found += [
            f"{name} is {', '.join(sorted(first.identities[name]))} and {', '.join(sorted(other.identities[name]))}"
            for name in DATA
            if first.identities[name] != other.identities[name]
        ]
        if first.record.targets != other.record.targets:
            found.append(f"the targets are {first.record.targets} and {other.record.targets}")
        if found:
            raise UserError(
                f"studies that are merged must differ in their machine and seed alone, but of {first.place.folder} and "
                f"{other.place.folder} {'; '.join(found)}; run one again with the settings and data of the other (to "
                "share a pre-training with another seed: `repeats: {shared_seed: …}`)"
            )
    if first.settings.get("repeats.looks") == "one":
        raise UserError(
            f"studies that are merged are looked at more than once, but {first.place.name!r} has repeats.looks 'one'; "
            "run them with repeats.looks 'many'"
        )
    seeds = [part.seed for part in parts]
    if len(set(seeds)) < len(seeds):
        raise UserError(
            f"studies that are merged must have draws of their own, but their seeds are {', '.join(map(str, seeds))}: "
            "the same seed draws the same repeats; give each a seed of its own, and one `repeats: {shared_seed: …}`"
        )


def joined_record(parts: Sequence[Part], name: str) -> StudyRecord:
    """Return the record of all repeats, without a verdict; what repeats share is that of the first study.

    Runs of another MLflow store than the first study's are not linked.
    """
    first = parts[0].record
    num_repeats = sum(part.num_repeats for part in parts)
    stages = dict.fromkeys(stage for part in parts for stage in part.record.stage_seconds)
    settings: Mapping[str, Any] = first.settings
    return replace(
        first,
        name=name,
        is_finished=all(part.record.is_finished for part in parts),
        settings={**settings, "repeats": {**settings["repeats"], "draws": num_repeats}},
        cells=tuple(_joined_cell(parts, cell) for cell in first.cells),
        stage_seconds={
            stage: math.fsum(part.record.stage_seconds.get(stage, 0.0) for part in parts) for stage in stages
        },
        verdict=None,
        label_curves=(),  # those of one study alone would stand beside the scores of all
    )


def merged_verdict(parts: Sequence[Part], looks_before: Sequence[int] = ()) -> VerdictRecord:
    """Return the verdict on the repeats of all parts, with the machine of each repeat as a block."""
    first = parts[0].record
    contrasts = contrasts_of(first)
    kept = {key: path for part in parts for key, path in part.kept.items()}
    repeats = common_repeats(kept, contrasts, [target.name for target in first.targets])
    if not contrasts or not repeats:
        raise UserError(
            f"studies that are merged must have predictions of rows that they compare, but have {len(contrasts)} "
            f"contrasts and {len(repeats)} repeats with predictions of all their rows in "
            f"{', '.join(str(part.place.folder) for part in parts)}; name `contrasts`, and copy "
            "the folders `predictions` too"
        )
    metrics = {target.name: find_metrics([target.metric])[0] for target in first.targets}
    found = judge(contrasts, metrics, kept, repeats, blocks=[_machine(kept, repeat) for repeat in repeats])
    taken = {look for part in parts if part.record.verdict is not None for look in part.record.verdict.looks}
    looks = sorted({look for look in (*taken, *looks_before) if look < len(repeats)} | {len(repeats)})
    margin = float(parts[0].settings["margin"]) / 100
    known = set.intersection(*(_named_before(part.record) for part in parts))
    judged = contrast_records(
        verdicts(found, margin=margin, looks=looks), known, parts[0].settings.get("choose", "each_repeat")
    )
    return VerdictRecord(margin=margin, num_repeats=len(repeats), looks=tuple(looks), contrasts=judged)


def contrasts_of(record: StudyRecord) -> list[Pair]:
    """Return the pairs of rows that a study compares, from its settings."""
    named: Any = record.settings.get("contrasts")
    pairs = DEFAULT_CONTRASTS if named is None else [(first, second) for first, second in named]
    return [pair for pair in pairs if set(pair) <= set(record.methods)]


def _read(place: StudyPlace) -> Part:
    from pretrieve_dashboards import load_study
    from pretrieve_dashboards.mlflow_experiment import MlflowExperiment

    record = load_study(place.tracking_uri, place.name, with_curves=True)
    runs = MlflowExperiment(place.tracking_uri, place.name).runs(schema.KIND_REFIT)
    of_record = {refit.run_id for cell in record.cells for refit in cell.refits}
    params = [run.data.params for run in runs if str(run.info.run_id) in of_record]
    return Part(place, record, {name: frozenset(each[name] for each in params if name in each) for name in DATA})


def _flat(settings: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the settings by dotted names, without absolute paths: machines keep their data in other places."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        elif isinstance(value, list | tuple) and any(isinstance(each, Mapping) for each in value):
            yield from _flat({str(place): each for place, each in enumerate(value)}, f"{before}{name}.")
        elif not (isinstance(value, str) and Path(value).is_absolute()):
            yield before + name, value


def _check_test_images(parts: Sequence[Part]) -> None:
    """Check that targets whose test images are the same in each repeat have the same ones in all parts."""
    for target in parts[0].record.targets:
        tested = [_tested(part, target.name) for part in parts]
        if None not in tested and len(set(tested)) > 1:
            sizes = ", ".join(str(len(images or ())) for images in tested)
            raise UserError(
                f"studies that are merged must be tested on the same images, but those of {target.name} differ between "
                f"{', '.join(str(part.place.folder) for part in parts)}: {sizes} images; give all machines the same "
                "files"
            )


def _tested(part: Part, target: str) -> frozenset[tuple[str, int]] | None:
    """Return the test images of a target with their labels; None where repeats have images of their own."""
    by_repeat = {repeat: path for (of, _, repeat), path in part.kept.items() if of == target}
    found = set()
    for path in by_repeat.values():
        kept = read_predictions(path)
        found.add(frozenset(zip(kept.images.tolist(), kept.labels.tolist(), strict=True)))
    return next(iter(found)) if len(found) == 1 else None


def _machine(kept: Kept, repeat: int) -> tuple[str, ...]:
    """Return what the predictions of a repeat were made with: machine, device and versions, without threads."""
    made = [read_predictions(path).made_with for (_, _, number), path in kept.items() if number == repeat]
    return tuple(sorted({f"{name} {value}" for each in made for name, value in each.items() if name != "threads"}))


def _named_before(record: StudyRecord) -> set[Pair]:
    contrasts = () if record.verdict is None else record.verdict.contrasts
    return {(each.first, each.second) for each in contrasts if not each.is_exploratory}


def _joined_cell(parts: Sequence[Part], first: CellRecord) -> CellRecord:
    cells = [(part, part.record.cell(first.target, first.method)) for part in parts]
    own = parts[0].record.tracking_uri

    def numbered(part: Part, trials: Sequence[TrialRecord]) -> Iterator[TrialRecord]:
        for trial in trials:
            run_id = trial.run_id if part.record.tracking_uri == own else ""
            yield replace(trial, repeat=part.first_repeat + trial.repeat, run_id=run_id)

    refits = tuple(each for part, cell in cells for each in numbered(part, cell.refits))
    choices = tuple(
        replace(choice, repeat=part.first_repeat + choice.repeat) for part, cell in cells for choice in cell.choices
    )
    scores = [refit.score for refit in refits if refit.score is not None]
    chosen = [choice.val_score for choice in choices if choice.val_score is not None]
    mean, half_width = mean_and_ci95(scores) if scores else (math.nan, math.nan)
    return replace(
        first,
        num_planned=sum(cell.num_planned for _, cell in cells),
        trials=tuple(each for part, cell in cells for each in numbered(part, cell.trials)),
        best_val_score=math.fsum(chosen) / len(chosen) if chosen else None,
        refits=refits,
        test_mean=mean if scores else None,
        test_ci95=half_width if math.isfinite(half_width) else None,
        refits_with_leaks=tuple(each for part, cell in cells for each in numbered(part, cell.refits_with_leaks)),
        choices=choices,
    )


def _write(record: StudyRecord, folder: Path) -> None:
    from pretrieve_dashboards import score_table, write_report

    folder.mkdir(parents=True, exist_ok=True)
    assert record.verdict is not None, "a merged study has a verdict"
    write_json(folder / schema.VERDICT_ARTIFACT, to_json(record.verdict))
    write_json(folder / RECORD_FILE, record.to_json())
    write_report(record, folder / schema.REPORT_ARTIFACT)
    (folder / schema.TABLE_ARTIFACT).write_text(score_table(record).to_csv(), encoding="utf-8")
