"""What the miniatures cost; `tests/browser` runs two of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from smaller_miniatures import make_smaller

from pretrieve.cli import app as cli
from pretrieve.paper import catalogue

pytestmark = pytest.mark.slow


@pytest.mark.usefixtures("ray_cluster")
def test_experiments_are_listed_with_what_they_cost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(catalogue, "EXPERIMENTS", {"table3": catalogue.EXPERIMENTS["table3"]})
    make_smaller(monkeypatch)
    cli.app(["experiments", "--mini", "--cost", "--storage", str(tmp_path)], standalone_mode=False)
    printed = capsys.readouterr()
    assert "forecasting table3" in printed.err
    (row,) = (line for line in printed.out.splitlines() if line.startswith("table3"))
    *_, wall_time, gpu_hours = (cell.strip() for cell in row.split("│"))
    assert gpu_hours == "0.00", "no GPU here"
    assert re.fullmatch(r"[\d.]+ s|\d+ min \d\d s", wall_time), row
    assert wall_time != "0.0 s", "nothing of it is made yet"
