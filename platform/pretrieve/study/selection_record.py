"""The record of each selection: what was chosen, how surely, and how it compares; as JSON and as a figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pretrieve.atomic_files import replacing, write_json
from pretrieve.data.group_lists import read_group_list
from pretrieve.records import SelectionRecord
from pretrieve.study.materials import Materials
from pretrieve.study.settings import StudySettings
from pretrieve.study.source_units import SourceUnits
from pretrieve.tracking import schema
from pretrieve_selection import Selection, recall_at_k

MAX_LISTED = 1_000
"""Units that a record lists; a selection of many images has its first ones here and all of them in the cache."""

MAX_CLASSES_LISTED = 50


def write_selection_records(settings: StudySettings, materials: Materials) -> list[tuple[Path, str | None]]:
    """Write the record and the figure of every selection into the study's folder.

    Args:
      settings: the study.
      materials: its units and selections.

    Returns:
      The files, with the artifact folder of each.

    Raises:
      UserError: an expected group is none of the source's.
    """
    artifacts: list[tuple[Path, str | None]] = []
    for (target, method), selection in materials.selections.items():
        folder = settings.folder / schema.SELECTIONS_FOLDER / target
        expected = settings.selection.expected_groups.get(target)
        others = {
            other: compared
            for (other_target, other), compared in materials.selections.items()
            if other_target == target and other != method
        }
        record = selection_record(
            materials.units,
            selection,
            target=target,
            method=method,
            others=others,
            expected=None if expected is None else read_group_list(expected, materials.source.class_names),
        )
        paths = [folder / f"{method}.json", folder / f"{method}.svg"]
        write_json(paths[0], record)
        _write_figure(record, paths[1])
        artifacts += [(path, f"{schema.SELECTIONS_FOLDER}/{target}") for path in paths]
    return artifacts


def selection_record(
    units: SourceUnits,
    selection: Selection,
    *,
    target: str,
    method: str,
    others: Mapping[str, Selection],
    expected: Sequence[int] | None,
) -> dict[str, Any]:
    """Describe a selection.

    Args:
      units: what it chose from.
      selection: the choice.
      target: name of the target.
      method: name of the method.
      others: the other methods' selections of the same target.
      expected: classes of the source that should be found, or None.

    Returns:
      JSON-able: the first MAX_LISTED units in rank order (`groups`, `names`, `scores`, and for `uot` their `masses`
      in P·1), `num_selected` and `num_images`, the classes that the chosen images are of, `margin`, `converged`,
      `iterations`, `overlap` (units shared with each other method, and as a fraction of this selection) and `recall`.
    """
    listed = list(selection.groups[:MAX_LISTED])
    scores = [float(selection.scores[group]) for group in listed]
    class_counts = units.class_counts(selection.groups)
    return {
        "target": target,
        "method": method,
        "unit": units.unit,
        "groups": listed,
        "names": [units.name(group) for group in listed],
        "scores": scores,
        "masses": [math.exp(score) for score in scores] if selection.method == "uot" else None,
        "num_selected": len(selection.groups),
        "num_units": len(units),
        "num_images": sum(class_counts.values()),
        "classes": dict(list(class_counts.items())[:MAX_CLASSES_LISTED]),
        "margin": selection.margin,
        "converged": selection.converged,
        "iterations": selection.iterations,
        "overlap": {other: _overlap(selection, compared) for other, compared in others.items()},
        "recall": None if expected is None else _recall(units, selection, expected),
    }


def _overlap(selection: Selection, other: Selection) -> dict[str, float]:
    shared = len(set(selection.groups) & set(other.groups))
    return {"num_shared": shared, "fraction": shared / len(selection.groups)}


def _recall(units: SourceUnits, selection: Selection, expected: Sequence[int]) -> float:
    """Return the share of the expected classes that is chosen; of their images, where other units are chosen."""
    if units.unit == "class":
        return recall_at_k(selection, expected)
    is_expected = np.isin(units.labels, list(expected))
    return float(is_expected[units.rows(selection.groups)].sum() / is_expected.sum())


def _write_figure(record: Mapping[str, Any], path: Path) -> None:
    from pretrieve_dashboards import ranked_similarity

    figure = ranked_similarity(
        SelectionRecord(
            target=record["target"],
            method=record["method"],
            groups=tuple(record["groups"]),
            names=tuple(record["names"]),
            scores=tuple(record["scores"]),
            margin=record["margin"] if record["num_selected"] == len(record["groups"]) else None,
            converged=record["converged"],
        )
    )
    with replacing(path) as temporary:
        temporary.write_text(figure, encoding="utf-8")
