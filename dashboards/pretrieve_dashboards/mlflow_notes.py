"""What MLflow's UI shows of a study: the notes of its runs, in markdown, and the columns of its list of runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from pretrieve.records import CellRecord, StudyRecord
from pretrieve.tracking import schema
from pretrieve_dashboards import wording
from pretrieve_dashboards.missing_results import missing_parts
from pretrieve_dashboards.table_of_scores import BOLD, SCORES_READ, cell_score, score_table
from pretrieve_dashboards.views._trial_lines import chosen_trial, counted_states
from pretrieve_dashboards.views.verdict import sentences

MAX_LENGTH = 4_900
"""Largest length of a note in characters: some versions of MLflow store at most 5,000 characters in a tag."""
NUM_GROUPS_NAMED, NUM_MISSING_LISTED = 8, 8
RUNS_VIEW = "study"
"""Key of the view of runs. MLflow's UI finds it in a tag of the experiment, as it does for shared views."""

_SCORES = (schema.TEST_MEAN, schema.TEST_CI95, schema.BEST_VAL_SCORE, schema.VAL_SCORE, schema.TEST_SCORE)


def study_note(record: StudyRecord, report: Path | None = None) -> str:
    """Write the note of a finished or unfinished study: its table, its best configurations and its artifacts.

    Returns markdown of at most MAX_LENGTH characters. `report` is a second path of the report, beside MLflow's copy.
    """
    head = [
        f"**{escaped(record.name)}** · {wording.count(len(record.targets), 'target')} × "
        f"{wording.count(len(record.methods), 'method')} on {escaped(record.backbone)} · "
        f"{'finished' if record.is_finished else 'unfinished'}",
        "\n".join(f"- {escaped(each)}" for each in sentences(record)),
        f"{SCORES_READ}; {BOLD}.",
        _score_lines(record),
        _artifact_lines(record, report),
        _missing(record),
    ]
    return _fitted("\n\n".join(filter(None, head)), _best_lines(record))


def experiment_note(record: StudyRecord) -> str:
    """Write the note of a study's experiment: how its runs are nested and found."""
    return _fitted(
        f"One study of Pretrieve. Its runs nest: study ▸ cell (a target and a method) ▸ trial (a configuration, scored "
        f"on validation) and refit (the chosen one on train + val, tested once). The note of "
        f"{_linked(record.name, record, record.run_id)} has the table, and its artifacts the report.\n\n"
        f"[All runs with their scores and hyperparameters as columns]({runs_view_address(record)})\n\n"
        "| to see | search runs for |\n|---|---|\n"
        "| the cells with their scores | ``tags.`pretrieve.kind` = 'cell'`` |\n"
        "| trials of one cell | ``tags.`pretrieve.target` = '…' and tags.`pretrieve.method` = '…'`` |\n"
        "| what went wrong | ``tags.`pretrieve.outcome` != 'finished'`` |\n"
    )


def cell_note(record: StudyRecord, cell: CellRecord) -> str:
    """Write the note of a cell: the chosen configuration, its scores, and the selection that it was trained on."""
    choice = "no configuration is chosen yet."
    if cell.best is not None:
        choice = f"{_configuration(record, cell)} is best on validation with {wording.percent(cell.best_val_score)} %."
    parts = [f"**{escaped(cell.method)}** on **{escaped(cell.target)}**: {choice}"]
    if cell.test_mean is not None:
        links = [_linked(f"seed {refit.seed}", record, refit.run_id) for refit in cell.refits]
        scores = [f"{link} {wording.percent(refit.score)}" for link, refit in zip(links, cell.refits, strict=True)]
        parts.append(f"Test: **{wording.score(cell.test_mean, cell.test_ci95)}** % ({', '.join(scores)})")
    parts.append(f"Trials: {counted_states(cell.trials)} of {cell.num_planned} planned.")
    parts += [
        f"Selection: {escaped(', '.join(selection.names[:NUM_GROUPS_NAMED]))}"
        f"{'…' if selection.num_selected > NUM_GROUPS_NAMED else ''} ({selection.num_selected} chosen; margin "
        f"{', '.join(wording.margins(selection))}). Figure and record: `selections/{cell.target}/` of "
        f"{_linked('the study', record, record.run_id)}."
        for selection in record.selections
        if (selection.target, selection.method) == (cell.target, cell.method)
    ]
    return _fitted("\n\n".join(parts))


def run_notes(record: StudyRecord, report: Path | None = None) -> dict[str, str]:
    """Write the notes of a study's run and of its cells' runs, by run id."""
    cells = {cell.run_id: cell_note(record, cell) for cell in record.cells if cell.run_id is not None}
    return {record.run_id: study_note(record, report), **cells}


def _configuration(record: StudyRecord, cell: CellRecord) -> str:
    trial, configuration = chosen_trial(cell), wording.hyperparameters(cell.best)
    return escaped(configuration) if trial is None else _linked(configuration, record, trial.run_id)


def _score_lines(record: StudyRecord) -> str:
    table = score_table(record).shown()
    lines = [f"| {' | '.join(map(escaped, table.head))} |", "|---" * len(table.head) + "|"]
    for name, *scores in table.rows:
        texts = [f"**{score.text}**" if score.is_best else score.text for score in scores]
        lines.append(f"| {escaped(name.text)} | {' | '.join(texts)} |")
    return "\n".join(lines)


def _artifact_lines(record: StudyRecord, report: Path | None) -> str:
    also = f", and {report}" if report is not None else ""
    lines = [
        f"- report: `{schema.REPORT_ARTIFACT}` among this run's artifacts{also}",
        f"- numbers: `{schema.TABLE_ARTIFACT}`; plan: `{schema.PLAN_ARTIFACT}`; selections with their figures: "
        f"`{schema.SELECTIONS_FOLDER}/`",
        *(f"- model for {escaped(target)}: `{uri}`" for target, uri in record.models.items()),
    ]
    return "\n".join(lines)


def _missing(record: StudyRecord) -> str:
    missing = missing_parts(record)
    lines = [f"- {escaped(part)}" for part in missing[:NUM_MISSING_LISTED]]
    more = [f"- and {len(missing) - len(lines)} more"] if len(missing) > len(lines) else []
    return "\n".join(["Missing:", "", *lines, *more]) if missing else ""


def _best_lines(record: StudyRecord) -> list[str]:
    lines = ["\n\n| target | method | best configuration | validation | test |\n|---|---|---|---|---|"]
    for cell in [cell for cell in record.cells if cell.best is not None]:
        method = _linked(cell.method, record, cell.run_id) if cell.run_id else escaped(cell.method)
        scores = f"{wording.percent(cell.best_val_score)} | {cell_score(cell)}"
        lines.append(f"\n| {escaped(cell.target)} | {method} | {_configuration(record, cell)} | {scores} |")
    return lines if len(lines) > 1 else []


def _fitted(text: str, more: Sequence[str] = ()) -> str:
    """Append the lines of `more` that fit; cut a text that is too long itself."""
    ending = "\n\nThe report has the rest."
    if len(text) > MAX_LENGTH:
        return text[: MAX_LENGTH - len(ending)].rpartition("\n")[0] + ending
    for number, line in enumerate(more):
        at_most = MAX_LENGTH - (0 if number == len(more) - 1 else len(ending))
        if len(text) + len(line) > at_most:
            return text + ending
        text += line
    return text


def _linked(words: str, record: StudyRecord, run_id: str) -> str:
    """Link to a run, with an address relative to MLflow's UI."""
    return f"[{escaped(words)}](#/experiments/{record.experiment_id}/runs/{quote(run_id)})"


def escaped(words: str) -> str:
    """Escape characters that mean something in markdown or HTML."""
    text = words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for mark in "\\`*_[]|~":
        text = text.replace(mark, f"\\{mark}")
    return text


def shared_runs_view(record: StudyRecord) -> str:
    """Describe the columns of the list of runs: scores, then the hyperparameters that the study has.

    Returns JSON in the format of MLflow's shared views, for the experiment's tag `schema.TAG_RUNS_VIEW`.
    """
    trials = [trial for cell in record.cells for trial in (*cell.trials, *cell.refits)]
    used = wording.ordered(name for trial in trials for name in trial.hyperparameters)
    asked = dict.fromkeys(name for target in record.targets for name in target.further_metrics)
    further = [prefix + name for name in asked for prefix in schema.SPLIT_PREFIX.values()]
    columns = [
        # The seconds that trials measured: a run's duration in MLflow also counts the time between attempts.
        *(f"metrics.`{name}`" for name in (*_SCORES, *further, schema.SECONDS)),
        *(f"params.`{name}`" for name in used),
        f"tags.`{schema.TAG_OUTCOME}`",
    ]
    return json.dumps({"selectedColumns": columns, "orderByKey": "attributes.start_time", "orderByAsc": True})


def runs_view_address(record: StudyRecord) -> str:
    """Return the address of the view of runs, relative to MLflow's UI."""
    return f"#/experiments/{record.experiment_id}/runs?viewStateShareKey={RUNS_VIEW}"
