"""On the real centroids of ImageNet and CUB, what the paper prints comes out, and stands beside ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from pretrieve.cli import app as cli
from pretrieve.errors import UserError
from pretrieve.paper.catalogue import find_experiment
from pretrieve.paper.recalls_table_4_figures_2b_4a import PUBLISHED_RECALL
from pretrieve.paper.run_experiment import reproduce


@pytest.fixture
def class_means(shared: Path) -> Path:
    folder = shared / "class_means"
    if not folder.is_dir():
        pytest.skip(f"the real centroids are not at {folder}")
    return folder


def test_table_4_shows_the_papers_eight_recalls_beside_ours_and_they_are_equal(
    class_means: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    cli.app(
        ["reproduce", "table4", "--class-means", str(class_means), "--storage", str(tmp_path)], standalone_mode=False
    )
    report = (tmp_path / "table4" / "report.html").read_text(encoding="utf-8")
    printed = capsys.readouterr().out
    assert len(PUBLISHED_RECALL.values) == 8
    for number in PUBLISHED_RECALL.values.values():
        assert f'>{number:.2f}<div class="soft">paper {number:.2f} (equal)</div>' in report
        assert f"paper {number:.2f} (equal)" in printed
    assert report.count("(equal)") == 8
    assert "nothing was trained" in report
    assert str(tmp_path / "table4" / "report.html") in printed


def test_figure_4a_passes_through_the_papers_numbers_and_only_one_network_is_sensitive(
    class_means: Path, tmp_path: Path
) -> None:
    made = reproduce(find_experiment("figure4a"), storage=tmp_path, class_means=class_means)
    (table,) = made.view.findings.comparisons
    for network in table.rows:
        assert table.printed_text(network, "0.01").endswith("(equal)")
    recalls = {row: [table.values[row, column].mean for column in table.columns] for row in table.rows}
    assert max(recalls["supervised"]) - min(recalls["supervised"]) < 0.04
    assert recalls["self-supervised"][0] - recalls["self-supervised"][-1] > 0.4
    report = made.report_path.read_text(encoding="utf-8")
    assert '98.31<div class="soft">paper 98.31 (equal)</div>' in report
    assert '93.22<div class="soft">paper 93.22 (equal)</div>' in report
    assert report.count("<svg") == 1
    assert str(class_means) in " ".join(made.view.deviations)


def test_figure_2b_marks_58_of_59_birds(class_means: Path, tmp_path: Path) -> None:
    made = reproduce(find_experiment("figure2b"), storage=tmp_path, class_means=class_means)
    supervised, self_supervised = made.view.findings.drawings
    assert "58 of 59 expected groups are among the first 100" in supervised.svg
    assert "55 of 59 expected groups are among the first 100" in self_supervised.svg
    assert {row[3] for row in made.view.findings.listings[0].rows} == {"yes"}


def test_class_means_are_refused_where_they_answer_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'table3' trains; leave it out"):
        reproduce(find_experiment("table3"), storage=tmp_path, class_means=tmp_path)
    with pytest.raises(UserError, match="without --mini"):
        reproduce(find_experiment("table4"), is_mini=True, storage=tmp_path, class_means=tmp_path)
    with pytest.raises(UserError, match=r"centroids must be a NumPy archive.*resnet18_supervised/imagenet\.npz"):
        reproduce(find_experiment("table4"), storage=tmp_path, class_means=tmp_path)


def test_without_its_data_the_papers_size_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the folder must exist, but /data/imagenet does not"):
        reproduce(find_experiment("figure3a"), storage=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_list_names_all_ten_with_their_trials(capsys: pytest.CaptureFixture[str]) -> None:
    cli.app(["experiments", "--mini"], standalone_mode=False)
    printed = capsys.readouterr().out
    for name in ("table1a", "table1b", "table2", "table3", "table4", "figure2b", "figure3a", "figure3b", "figure4a"):
        assert name in printed
    (line,) = [line for line in printed.splitlines() if line.startswith("figure4b")]
    assert [word.strip() for word in line.split("│")[-3:]] == ["5", "24", "24"]
