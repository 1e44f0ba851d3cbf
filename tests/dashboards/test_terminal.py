import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from verdicts_of_studies import with_verdict

from pretrieve.records import TargetRecord
from pretrieve_dashboards import print_study


def printed(record, width, *, color_system=None, report_path=None):
    text = io.StringIO()
    is_terminal = color_system is not None
    console = Console(file=text, width=width, color_system=color_system, force_terminal=is_terminal)
    print_study(record, console, report_path=report_path)
    return text.getvalue()


@pytest.fixture
def eight_targets(finished_study):
    names = ["digits", "accented", "greek", "cyrillic", "armenian", "georgian", "blackletter", "symbols"]
    methods = ("finetune", "random", "greedy_ot", "uot")
    template = replace(finished_study.cells[0], test_mean=0.883, test_ci95=0.1234)
    cells = tuple(replace(template, target=target, method=method) for target in names for method in methods)
    targets = tuple(TargetRecord(name, "top1", 3, {}) for name in names)
    return replace(finished_study, targets=targets, methods=methods, cells=cells)


@pytest.mark.shows("scores")
def test_eight_targets_fit_120_columns_as_a_table_of_methods(eight_targets):
    lines = printed(eight_targets, 120).splitlines()
    assert lines[1].split()[:3] == ["method", "digits", "accented"]
    assert lines[3].count("88.3 ± 12.3") == 8
    assert max(len(line) for line in lines if "models:" not in line) <= 120


@pytest.mark.shows("scores")
def test_80_columns_turn_the_table(eight_targets):
    lines = printed(eight_targets, 80).splitlines()
    assert lines[1].split() == ["target", "finetune", "random", "greedy_ot", "uot"]
    assert lines[3].count("88.3 ± 12.3") == 4
    assert max(len(line) for line in lines if "experiment" not in line) <= 80


@pytest.mark.shows("scores")
def test_what_the_verdict_calls_better_is_bold_and_nothing_else(finished_study):
    judged = with_verdict(finished_study, [("uot", "finetune", "birds", "better", False)])
    lines = printed(judged, 120, color_system="standard").splitlines()
    row = next(line for line in lines if line.startswith("uot") and "60.0" in line)
    assert "\x1b[1m90.0 ± 1.2\x1b[0m" in row
    assert "\x1b[1m60.0" not in row
    assert lines[0] == "\x1b[1muot is better beside finetune on birds.\x1b[0m"
    plain = printed(finished_study, 120, color_system="standard").splitlines()
    assert "\x1b[1m" not in next(line for line in plain if line.startswith("uot"))


@pytest.mark.shows("best", "cost_by_method", "cost_by_stage", "scores")
def test_says_configuration_cost_and_where_to_look(finished_study):
    text = printed(finished_study, 120, report_path=Path("out/report.html"))
    row = next(line for line in text.splitlines() if line.startswith("birds  "))
    assert row.split() == ["birds", "finetune", "75.0", "0.1", "1e-4", "—", "10", "2/2", "0:06"]
    assert "8 trials: 22.0 s of training" in text
    assert "features 12.0 s, trials 1 min 15 s; 1 min 27 s in all" in text
    assert "out/report.html" in text
    assert "every run" in text
    assert "birds: models:/study.birds@champion" in text
    assert "Student's t over 1–3 refits" in text
    assert "and the mean accuracy per class for <script>" in " ".join(text.split())
    assert "secret" not in text
    assert "Missing" not in text


@pytest.mark.shows("best")
def test_number_of_selected_groups_has_a_column_where_the_grid_varies_it(finished_study):
    assert "K:" not in printed(finished_study, 120)
    cell = finished_study.cell("birds", "uot")
    chosen = replace(cell, best={**cell.best, "top_k": 100})
    lines = printed(replace(finished_study, cells=(finished_study.cells[0], chosen)), 80).splitlines()
    head = next(line for line in lines if line.startswith("target") and "trials" in line)
    assert head.split()[2:] == ["val", "%", "lr", "wd", "λ", "K", "head", "trials", "min:s"]
    rows = [line.split() for line in lines if "2/2" in line]
    assert rows[0][2:7] == ["75.0", "0.1", "1e-4", "—", "—"]
    assert rows[1][1:7] == ["75.0", "0.1", "1e-4", "0.3", "100", "10"]
    assert any(line.startswith("K: number of selected groups; head:") for line in lines)


@pytest.mark.shows("remarks")
def test_remarks_are_counted_and_left_to_the_report(finished_study, make_trial):
    assert "remark" not in printed(finished_study, 120)
    cell = finished_study.cells[0]
    record = replace(finished_study, cells=(replace(cell, trials=(make_trial("a", message="in 4 parts"),)),))
    text = printed(record, 120)
    assert "1 of the trials and refits finished with a remark, which the report gives." in text
    assert "in 4 parts" not in text


@pytest.mark.shows("best", "missing", "scores")
def test_unfinished_study_says_what_is_missing_and_what_went_wrong(unfinished_study):
    text = printed(unfinished_study, 120)
    assert "(unfinished)" in text
    assert "birds · uot: 4 of 5 trials" not in text
    assert "birds · uot: 3 of 5 trials without a result (1 not begun, 1 running or interrupted, 1 failed)" in text
    assert "the study has not reached its end" in text
    row = next(line for line in text.splitlines() if line.strip().startswith("uot") and "1/5" in line)
    assert row.split() == ["uot", "—", "—", "—", "—", "1/5", "1", "1", "0:06"]


@pytest.mark.shows("missing")
def test_long_list_of_missing_parts_is_cut(eight_targets):
    cells = tuple(replace(cell, trials=(), test_mean=None) for cell in eight_targets.cells)
    text = printed(replace(eight_targets, cells=cells), 120)
    assert "and 22 more; the report lists them all" in text


@pytest.mark.shows("scores")
def test_numbers_of_refits_that_differ_are_given_as_a_range(finished_study):
    first, *others = finished_study.cells
    record = replace(finished_study, cells=(replace(first, refits=first.refits[:1]), *others))
    assert "over 1–3 refits" in printed(record, 120)


@pytest.mark.shows("best", "scores")
def test_brackets_in_names_are_no_markup(finished_study):
    target = TargetRecord("[red]kites[/red]", "top1", 3, {})
    cells = tuple(replace(cell, target=target.name) for cell in finished_study.cells[:2])
    text = printed(replace(finished_study, targets=(target,), cells=cells), 120)
    assert text.count("[red]kites[/red]") == 2
