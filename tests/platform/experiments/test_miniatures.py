"""Two of the miniatures, run from the command line on the images that come along."""

from __future__ import annotations

from pathlib import Path

import pytest

from pretrieve.cli import app as cli

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("storage")


def run(*words: str) -> None:
    cli.app(["reproduce", *words], standalone_mode=False)


@pytest.mark.usefixtures("ray_cluster")
def test_a_table_and_a_figure_end_in_their_reports(
    storage: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    _make_smaller(monkeypatch)
    run("figure2b", "--mini", "--storage", str(storage))
    printed = capsys.readouterr().out
    assert "Expected groups among those selected, in %" in printed
    assert "98.31" in printed
    figure = (storage / "figure2b" / "report.html").read_text(encoding="utf-8")
    assert figure.count("<svg") == 2
    assert "greek small letter" in figure
    assert "of 19 expected groups are among the first 40" in figure

    run("table3", "--mini", "--storage", str(storage))
    printed = capsys.readouterr().out
    assert "table3 1 of 1: long tail" in printed
    assert "The paper's numbers, Table 3" in printed
    table = (storage / "table3" / "report.html").read_text(encoding="utf-8")
    assert "What is missing" not in table
    for word in ("greek", "armenian", "symbols", "57.27", "a ratio of 5 in place of 10"):
        assert word in table
    assert (storage / "table3" / "studies" / "long-tail.html").exists()


def _make_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut the networks' pre-training and the trials' epochs: minutes of arithmetic would show nothing more."""
    from pretrieve.experiments import reproduction, study_files

    def load(point, where):  # type: ignore[no-untyped-def]
        from dataclasses import replace

        words = ("backbone.pretrain.epochs=1", "training.epochs=2", "grid.lr=[0.03]")
        return study_files.load_point(replace(point, overrides=(*point.overrides, *words)), where)

    monkeypatch.setattr(reproduction, "load_point", load)
