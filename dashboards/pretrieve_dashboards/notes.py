"""What MLflow's UI says of a study and its cells: their notes, in markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from pretrieve.records import CellRecord, StudyRecord, TrialRecord
from pretrieve.tracking import schema
from pretrieve_dashboards import wording
from pretrieve_dashboards.missing import missing_parts
from pretrieve_dashboards.parallel_view import is_chosen
from pretrieve_dashboards.runs_view import runs_view_address
from pretrieve_dashboards.selection_view import margins
from pretrieve_dashboards.table import ScoreTable, score_table
from pretrieve_dashboards.trial_marks import counted_states

MAX_LENGTH = 4_900
"""Of a note: MLflow's stores take 5,000 characters of a tag and more, by version."""
NUM_GROUPS_TOLD = 8
NUM_MISSING_TOLD = 8


def study_note(record: StudyRecord, report: Path | None = None) -> str:
    """Write the note of a study, finished or not: its table, its best configurations, where the report is.

    Args:
      record: the study.
      report: where the report lies beside MLflow's own copy.

    Returns:
      Markdown of at most MAX_LENGTH characters; what does not fit is in the report.
    """
    head = [
        f"**{_escaped(record.name)}** · {wording.count(len(record.targets), 'target')} × "
        f"{wording.count(len(record.methods), 'method')} on {_escaped(record.backbone)} · "
        f"{'finished' if record.is_finished else 'unfinished'}",
        "Mean test score in % ± half of its 95% interval; bold: the largest mean on a target.",
        _score_lines(score_table(record)),
        _places(record, report),
        *_missing_lines(record),
    ]
    return _fitted("\n\n".join(part for part in head if part), _best_lines(record))


def experiment_note(record: StudyRecord) -> str:
    """Write the note of a study's experiment: how its runs are to be read."""
    return _fitted(
        f"One study of Pretrieve. Its runs nest: study ▸ cell (a target and a method) ▸ trial (a configuration, scored "
        f"on validation) and refit (the chosen one on train + val, tested once). The note of "
        f"{_linked(record.name, record, record.run_id)} has the table, and its artifacts the report.\n\n"
        f"[All runs with their scores and hyperparameters as columns]({runs_view_address(record)})\n\n"
        "| to see | search runs for |\n|---|---|\n"
        "| the cells with their scores | ``tags.`pretrieve.kind` = 'cell'`` |\n"
        "| trials of one cell | ``tags.`pretrieve.target` = '…' and tags.`pretrieve.method` = '…'`` |\n"
        "| what went wrong | ``tags.`pretrieve.outcome` != 'finished'`` |\n",
        [],
    )


def cell_note(record: StudyRecord, cell: CellRecord) -> str:
    """Write the note of a cell: what was chosen, what it scored, and the selection that it trained on."""
    parts = [f"**{_escaped(cell.method)}** on **{_escaped(cell.target)}**: {_choice(record, cell)}"]
    if cell.test_mean is not None:
        scores = [
            f"{_linked(f'seed {refit.seed}', record, refit.run_id)} {wording.percent(refit.score)}"
            for refit in cell.refits
        ]
        parts.append(f"Test: **{wording.score(cell.test_mean, cell.test_ci95)}** % ({', '.join(scores)})")
    parts.append(f"Trials: {counted_states(cell.trials)} of {cell.num_planned} planned.")
    parts += [
        f"Selection: {_escaped(', '.join(selection.names[:NUM_GROUPS_TOLD]))}"
        f"{'…' if selection.num_selected > NUM_GROUPS_TOLD else ''} ({selection.num_selected} chosen; margin "
        f"{', '.join(margins(selection))}). Figure and record: `selections/{cell.target}/` of "
        f"{_linked('the study', record, record.run_id)}."
        for selection in record.selections
        if (selection.target, selection.method) == (cell.target, cell.method)
    ]
    return _fitted("\n\n".join(parts), [])


def run_notes(record: StudyRecord, report: Path | None = None) -> dict[str, str]:
    """Write the notes of a study's own run and of those of its cells, by run."""
    cells = {cell.run_id: cell_note(record, cell) for cell in record.cells if cell.run_id is not None}
    return {record.run_id: study_note(record, report), **cells}


def _choice(record: StudyRecord, cell: CellRecord) -> str:
    if cell.best is None:
        return "no configuration is chosen yet."
    told = wording.hyperparameters(cell.best)
    trial = chosen_trial(cell)
    linked = _escaped(told) if trial is None else _linked(told, record, trial.run_id)
    return f"{linked} is best on validation with {wording.percent(cell.best_val_score)} %."


def chosen_trial(cell: CellRecord) -> TrialRecord | None:
    """Return the trial whose configuration a cell chose; None before, or where its plan has another."""
    return next((trial for trial in cell.trials if is_chosen(trial, cell)), None)


def _score_lines(table: ScoreTable) -> str:
    has_average = len(table.targets) > 1
    columns = [*map(_escaped, table.targets), *(["average"] if has_average else [])]
    lines = [f"| method | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for method in table.methods:
        scores = [
            _bold(wording.score(table.mean(target, method), table.ci95(target, method)))
            if method in table.best_methods(target)
            else wording.score(table.mean(target, method), table.ci95(target, method))
            for target in table.targets
        ]
        if has_average:
            average = wording.percent(table.averages.get(method))
            scores.append(_bold(average) if method in table.best_averages() else average)
        lines.append(f"| {_escaped(method)} | {' | '.join(scores)} |")
    return "\n".join(lines)


def _places(record: StudyRecord, report: Path | None) -> str:
    also = f", and {report}" if report is not None else ""
    lines = [
        f"- report: `{schema.REPORT_ARTIFACT}` among this run's artifacts{also}",
        f"- numbers: `{schema.TABLE_ARTIFACT}`; plan: `{schema.PLAN_ARTIFACT}`; selections with their figures: "
        f"`{schema.SELECTIONS_FOLDER}/`",
    ]
    lines += [f"- model for {_escaped(target)}: `{uri}`" for target, uri in record.models.items()]
    return "\n".join(lines)


def _missing_lines(record: StudyRecord) -> Iterator[str]:
    missing = missing_parts(record)
    if missing:
        told = [f"- {_escaped(part)}" for part in missing[:NUM_MISSING_TOLD]]
        more = len(missing) - len(told)
        yield "\n".join(["Missing:", "", *told, *([f"- and {more} more"] if more else [])])


def _best_lines(record: StudyRecord) -> list[str]:
    lines = ["\n\n| target | method | best configuration | validation | test |\n|---|---|---|---|---|"]
    for cell in record.cells:
        if cell.best is None:
            continue
        trial = chosen_trial(cell)
        told = wording.hyperparameters(cell.best)
        configuration = told if trial is None else _linked(told, record, trial.run_id)
        method = _linked(cell.method, record, cell.run_id) if cell.run_id else _escaped(cell.method)
        test = wording.score(cell.test_mean, cell.test_ci95)
        validation = wording.percent(cell.best_val_score)
        lines.append(f"\n| {_escaped(cell.target)} | {method} | {configuration} | {validation} | {test} |")
    return lines if len(lines) > 1 else []


def _fitted(text: str, more: Sequence[str]) -> str:
    """Add as many whole lines as there is room for."""
    ending = "\n\nThe report has the rest."
    if len(text) > MAX_LENGTH:
        return text[: MAX_LENGTH - len(ending)].rpartition("\n")[0] + ending
    for number, line in enumerate(more):
        room = MAX_LENGTH - (0 if number == len(more) - 1 else len(ending))
        if len(text) + len(line) > room:
            return text + ending
        text += line
    return text


def _linked(words: str, record: StudyRecord, run_id: str) -> str:
    """Link a run: inside MLflow's UI an address may begin with its route."""
    return f"[{_escaped(words)}](#/experiments/{record.experiment_id}/runs/{quote(run_id)})"


def _bold(words: str) -> str:
    return f"**{words}**"


def _escaped(words: str) -> str:
    """Keep what comes from data from being read as markdown or as HTML."""
    escaped = words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for mark in "\\`*_[]|~":
        escaped = escaped.replace(mark, f"\\{mark}")
    return escaped
