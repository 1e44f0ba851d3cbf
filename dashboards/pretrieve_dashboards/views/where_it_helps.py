"""Where reuse helps: the study's answer in a sentence, and for each target its gain beside its size and its leaks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pretrieve.records import ContrastVerdict, StudyRecord
from pretrieve_dashboards import wording
from pretrieve_dashboards.view_table import Table, TableCell, numeric, row
from pretrieve_dashboards.views._base import View
from pretrieve_dashboards.views.verdict import interval, primary_contrasts


class WhereItHelps(View):
    """One row per target, the largest gain of the first contrast on top; for studies of several targets."""

    name = "where_it_helps"
    id = "where"
    title = "Where it helps"
    link = "Where it helps"
    order = 6

    def applies(self, record: StudyRecord) -> bool:
        return len(record.targets) > 1 and bool(gains(record))

    def text(self, record: StudyRecord) -> str:
        return answer(gains(record))

    def table(self, record: StudyRecord) -> Table:
        first = gains(record)[0]
        return Table(
            "Gain by target",
            f"{first.first} − {first.second} in points with its interval, beside what may explain it: classes, "
            "training images, the mean cosine distance of its classes to the nearest groups of the source (0: the "
            "same), and reused images that show a test image.",
            ("target", "gain", "interval", "verdict", "classes", "training images", "distance", "leaks"),
            [self._row(record, gain) for gain in sorted(gains(record), key=lambda each: -each.mean)],
        )

    def _row(self, record: StudyRecord, gain: ContrastVerdict) -> tuple[TableCell, ...]:
        (target,) = [each for each in record.targets if each.name == gain.target]
        audits = [each for each in record.audits if each.target == gain.target and each.side == "source"]
        leaks = str(sum(each.num_leaking for each in audits)) if audits else wording.ABSENT
        num_train = sum(target.num_images.get(split, 0) for split in ("train", "val"))
        is_best = gain.word.startswith("better") and not gain.is_exploratory
        points = numeric(f"{100 * gain.mean:+.1f}", is_best=is_best)
        distance = wording.ABSENT if target.source_distance is None else f"{target.source_distance:.3f}"
        numbers = (str(target.num_classes), f"{num_train:,}", distance, leaks)
        return row(target.name, points, numeric(interval(gain)), gain.word, *map(numeric, numbers))


def gains(record: StudyRecord) -> list[ContrastVerdict]:
    """Return the verdicts of the first primary contrast on each target, in the order of the study's targets."""
    primary = primary_contrasts(record)
    if not primary or record.verdict is None:
        return []
    pair = (primary[0].first, primary[0].second)
    return [each for each in record.verdict.contrasts if each.target and (each.first, each.second) == pair]


def answer(of_targets: Sequence[ContrastVerdict]) -> str:
    """Say on which targets the first row of a contrast is better, worse or equivalent; at least one target."""
    first, second = of_targets[0].first, of_targets[0].second
    parts = [
        f"{word} than {second} on {named}"
        for word in ("better", "worse")
        if (named := _named(each for each in of_targets if each.word.startswith(word)))
    ]
    if named := _named(each for each in of_targets if each.word == "equivalent"):
        parts.append(f"equivalent on {named}")
    num_open = sum(not each.is_decided for each in of_targets)
    said = f"{first} is {', '.join(parts)}" if parts else f"{first} is neither better nor worse than {second} anywhere"
    return f"{said}; undecided on {num_open} of {wording.count(len(of_targets), 'target')}."


def _named(verdicts: Iterable[ContrastVerdict]) -> str:
    return " and ".join(str(each.target) for each in verdicts)
