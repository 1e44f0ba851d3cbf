from dataclasses import replace
from pathlib import Path

from pretrieve_dashboards import experiment_note, run_notes, study_note
from pretrieve_dashboards.mlflow_notes import MAX_LENGTH, cell_note


def test_study_note_has_the_table_the_choices_and_the_places(finished_study):
    note = study_note(finished_study, Path("/runs/study/report.html"))
    assert "| finetune | 70.0 ± 5.0 | 70.0 | 70.0 |" in note
    assert "| uot | 90.0 ± 1.2 | 60.0 ± 10.0 | 75.0 |" in note
    choice = "[lr 0.1, wd 1e-4, λ 0.3, head ×10](#/experiments/1/runs/run-birds-uot-0)"
    assert f"| birds | [uot](#/experiments/1/runs/cell-birds-uot) | {choice} | 75.0 | 90.0 ± 1.2 |" in note
    assert "`report.html` among this run's artifacts, and /runs/study/report.html" in note
    assert "- model for birds: `models:/study.birds@champion`" in note
    assert "<script>" not in note
    assert "secret" not in note
    assert "Missing" not in note


def test_unfinished_study_note_says_what_is_missing(unfinished_study):
    note = study_note(unfinished_study)
    assert "unfinished" in note
    assert "- birds · uot: 3 of 5 trials without a result (1 not begun, 1 running or interrupted, 1 failed)" in note
    assert "| uot | — | — | — |" in note


def test_cell_note_has_its_choice_its_refits_and_its_selection(finished_study):
    note = cell_note(finished_study, finished_study.cell("birds", "uot"))
    assert "(#/experiments/1/runs/run-birds-uot-0) is best on validation with 75.0 %." in note
    assert "**90.0 ± 1.2** % ([seed 11](#/experiments/1/runs/run-birds-uot-r11) 90.0, " in note
    assert "Trials: 2 finished of 2 planned." in note
    assert "$x$ owl $y$, &lt;script&gt;alert(1)&lt;/script&gt;, 鳥 (3 chosen; margin all chosen)" in note


def test_cell_note_of_an_unfinished_study_counts_what_went_wrong(unfinished_study):
    note = cell_note(unfinished_study, unfinished_study.cell("birds", "uot"))
    assert "no configuration is chosen yet." in note
    assert "Trials: 1 diverged, 1 failed, 1 running, 1 finished of 5 planned." in note


def test_every_run_of_the_tree_above_the_trials_has_a_note(unfinished_study):
    begun = {cell.run_id for cell in unfinished_study.cells if cell.run_id}
    assert set(run_notes(unfinished_study)) == {"study-run", *begun}
    assert "tags.`pretrieve.kind` = 'cell'" in experiment_note(unfinished_study)


def test_note_of_a_large_study_has_as_many_whole_rows_as_fit(finished_study):
    cells = tuple(replace(finished_study.cells[0], method=f"method_{number}") for number in range(500))
    note = study_note(replace(finished_study, cells=cells))
    assert len(note) <= MAX_LENGTH
    assert note.endswith(" |\n\nThe report has the rest.")
