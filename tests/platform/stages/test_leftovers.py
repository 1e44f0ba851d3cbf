"""What trials left behind goes at the end of a study; what is needed stays."""

from __future__ import annotations

from pathlib import Path

from pretrieve.stages.refits import remove_leftovers


def test_leftovers_go_and_what_is_needed_stays(tmp_path: Path) -> None:
    kept = ["checkpoints/unfinished.pt", "refits/done.pt", "predictions/done.arrows", "spool/done.jsonl", "mlflow.db"]
    gone = ["checkpoints/done.pt", "checkpoints/.a.pt.1.tmp", "refits/.b.pt.2.tmp", "tune-trials/state/x"]
    gone += ["predictions/.c.arrows.3.tmp"]
    for name in (*kept, *gone):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    told = remove_leftovers(tmp_path, {"unfinished"})
    assert told is not None
    assert told.endswith("1 checkpoints, 3 half-written files, 1 scratch folders")
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()) == sorted(kept)
    assert not (tmp_path / "tune-trials").exists()
    assert remove_leftovers(tmp_path, {"unfinished"}) is None
