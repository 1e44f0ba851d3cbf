"""One target's part of the report: its cells with their grids and figures, and the selections side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from pretrieve.records import CellRecord, StudyRecord, TargetRecord
from pretrieve_dashboards.curve_view import curve_figure, curve_view
from pretrieve_dashboards.figures import ranked_similarity
from pretrieve_dashboards.grid_view import GridView, grid_view
from pretrieve_dashboards.membership_view import membership_figure, membership_table, membership_view
from pretrieve_dashboards.notes import chosen_trial
from pretrieve_dashboards.parallel_view import parallel_figure, parallel_view
from pretrieve_dashboards.selection_view import UNRANKED_METHODS, SelectionView, selection_view
from pretrieve_dashboards.trial_table import refit_table, trial_table
from pretrieve_dashboards.view_table import ViewTable

MAX_TRIALS_LISTED = 4_000
"""In one report, where the list is the place that states a trial's run; each cell lists its share, the best first."""
MAX_LINKED_TRIALS_LISTED = 2_000
"""The same where every number links to its run anyway, and links take room."""
MIN_TRIALS_LISTED = 20


@dataclass(frozen=True)
class CellPart:
    """One cell of the report.

    Attributes:
      cell: the cell.
      best_run_id: run of the trial with the chosen configuration; None before.
      grid: heat map of its validation scores.
      parallel: its hyperparameters as SVG; empty where none varies.
      curves: its learning curves as SVG; empty where none is known.
      num_without_curve: trials that began and of which no curve is shown.
      trials: the list of its trials.
      refits: the list of its refits.
    """

    cell: CellRecord
    best_run_id: str | None
    grid: GridView
    parallel: Markup
    curves: Markup
    num_without_curve: int
    trials: ViewTable
    refits: ViewTable


@dataclass(frozen=True)
class TargetPart:
    """One target of the report.

    Attributes:
      target: the column of the table.
      cells: its methods.
      selection: what its methods chose.
      membership: the same as SVG, group by group; empty with fewer than two selections.
      members: the same as a table.
      figures: ranked similarity as SVG, with the method's name.
    """

    target: TargetRecord
    cells: tuple[CellPart, ...]
    selection: SelectionView
    membership: Markup
    members: ViewTable
    figures: tuple[tuple[str, Markup], ...]


def target_parts(record: StudyRecord, *, has_links: bool) -> tuple[TargetPart, ...]:
    """Draw and lay out everything that the report says of each target.

    Args:
      record: the study.
      has_links: whether numbers link to their runs.
    """
    listed = MAX_LINKED_TRIALS_LISTED if has_links else MAX_TRIALS_LISTED
    at_most = max(MIN_TRIALS_LISTED, listed // max(1, len(record.cells)))
    return tuple(_target_part(record, target, at_most) for target in record.targets)


def _target_part(record: StudyRecord, target: TargetRecord, at_most: int) -> TargetPart:
    members = membership_view(record, target.name)
    view = selection_view(record, target.name)
    ranked = [selection for selection in view.selections if selection.method not in UNRANKED_METHODS]
    return TargetPart(
        target=target,
        cells=tuple(_cell_part(cell, at_most) for cell in record.cells if cell.target == target.name),
        selection=view,
        membership=Markup(membership_figure(members)),
        members=membership_table(members),
        figures=tuple((selection.method, Markup(ranked_similarity(selection))) for selection in ranked),
    )


def _cell_part(cell: CellRecord, at_most: int) -> CellPart:
    curves, best = curve_view(cell), chosen_trial(cell)
    return CellPart(
        cell=cell,
        best_run_id=None if best is None else best.run_id,
        grid=grid_view(cell),
        parallel=Markup(parallel_figure(parallel_view(cell))),
        curves=Markup(curve_figure(curves)),
        num_without_curve=curves.num_without,
        trials=trial_table(cell, at_most=at_most),
        refits=refit_table(cell),
    )


def stated_runs(parts: tuple[TargetPart, ...]) -> Iterator[tuple[str, str]]:
    """Yield (run, place in the page) for every run whose id the report states."""
    number = 0
    for part in parts:
        for cell_part in part.cells:
            cell = cell_part.cell
            own = (cell.run_id,) if cell.run_id is not None else ()
            for run_id in (*own, *cell_part.trials.row_runs, *cell_part.refits.row_runs):
                number += 1
                yield run_id, f"r{number}"
