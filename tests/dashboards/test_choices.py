"""What report and terminal say of how configurations and models were chosen."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from pretrieve.records import ChoiceRecord, StudyRecord
from pretrieve_dashboards import print_study, render_report
from pretrieve_dashboards.choices import chosen_once, own_score, ties


def printed(record: StudyRecord) -> str:
    text = io.StringIO()
    print_study(record, Console(width=300, file=text))
    return " ".join(text.getvalue().split())


def test_cells_whose_best_score_two_configurations_share_are_named(finished_study: StudyRecord) -> None:
    cell = finished_study.cells[0]
    best = ChoiceRecord(0, cell.trials[0].hyperparameters, cell.trials[0].score)
    alone = replace(cell, choices=(best,))
    assert ties([alone]) == ""
    tied = replace(alone, trials=(cell.trials[0], replace(cell.trials[1], score=cell.trials[0].score)))
    of_two = replace(tied, choices=(best, replace(best, repeat=1)))
    assert f"in {cell.target} · {cell.method} (1 of 2 choices): of equals the smaller learning rate" in ties([of_two])
    record = replace(finished_study, cells=(tied, *finished_study.cells[1:]))
    assert ties([tied]) in render_report(record)
    assert ties([tied]) in printed(record)


def test_a_study_that_chose_once_says_what_its_intervals_leave_out(finished_study: StudyRecord) -> None:
    choice = ChoiceRecord(0, {"lr": 0.1}, 0.5)
    repeated = [replace(cell, choices=(choice, replace(choice, repeat=1))) for cell in finished_study.cells]
    record = replace(finished_study, cells=tuple(repeated))
    assert chosen_once(record) == ""
    once = replace(record, settings={**record.settings, "choose": "first_repeat"})
    assert chosen_once(once) in render_report(once)
    assert chosen_once(once) in printed(once)
    assert chosen_once(replace(once, cells=finished_study.cells)) == "", "a single repeat covers its own choice"


def test_a_model_has_its_own_test_score_beside_the_mean_of_its_cell(finished_study: StudyRecord) -> None:
    target = finished_study.targets[0].name
    cell = next(cell for cell in finished_study.cells if cell.target == target and cell.refits)
    record = replace(finished_study, models={target: "models:/m@champion"}, model_refits={target: cell.refits[0].key})
    assert f", {cell.method} with a test score of {100 * (cell.refits[0].score or 0):.1f}" in own_score(record, target)
    assert own_score(record, target) in render_report(record)
    assert own_score(record, target) in printed(record)
    assert own_score(replace(record, model_refits={}), target) == ""
