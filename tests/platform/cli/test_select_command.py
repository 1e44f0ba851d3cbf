"""`pretrieve select` on real centroids, and on small ones with mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pretrieve.cli import app as cli
from pretrieve.stages.observer import StudyObserver
from pretrieve.study.study_file import load_study_file

TABLE_4 = [
    ("resnet18_supervised", "greedy_ot", "l2", None, 86.44),
    ("resnet18_supervised", "greedy_ot", "cosine", None, 94.92),
    ("resnet18_supervised", "uot", "l2", 0.1, 94.92),
    ("resnet18_supervised", "uot", "cosine", 0.01, 98.31),
    ("resnet50_moco_v2", "greedy_ot", "l2", None, 16.95),
    ("resnet50_moco_v2", "greedy_ot", "cosine", None, 38.98),
    ("resnet50_moco_v2", "uot", "l2", 0.1, 16.95),
    ("resnet50_moco_v2", "uot", "cosine", 0.01, 93.22),
]


def select(*words: object) -> Any:
    with pytest.raises(SystemExit) as ended:
        cli.main(["select", *map(str, words)])
    return ended.value.code


@pytest.mark.parametrize(("backbone", "method", "cost", "cost_scale", "recall"), TABLE_4)
def test_the_papers_recalls_come_out_exactly(
    shared: Path,
    capsys: pytest.CaptureFixture[str],
    backbone: str,
    method: str,
    cost: str,
    cost_scale: float | None,
    recall: float,
) -> None:
    folder = shared / "class_means" / backbone
    words = ["--source", folder / "imagenet.npz", "--target", folder / "cub.npz", "--method", method, "--cost", cost]
    words += [] if cost_scale is None else ["--cost-scale", cost_scale]
    assert select(*words, "--expected-ids", "imagenet-birds", "--json") == 0
    printed = capsys.readouterr()
    assert round(100 * json.loads(printed.out)["recall"], 2) == recall
    assert f"recall: {recall:.2f} % of 59" in printed.err


def test_every_top_100_of_the_published_file_is_found_in_rank_order(
    shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shared / "class_means"
    expected = json.loads((folder / "expected_selection.json").read_text(encoding="utf-8"))
    for name, entry in expected.items():
        backbone, target, kind, *scale = name.split("/")
        method, cost = ("uot", kind.removeprefix("uot_")) if kind.startswith("uot") else ("greedy_ot", kind[7:])
        words = ["--method", method, "--cost", "cosine" if cost == "cos" else cost]
        words += ["--cost-scale", *scale] if scale else []
        words += ["--source", folder / backbone / "imagenet.npz", "--target", folder / backbone / f"{target}.npz"]
        assert select(*words, "--json") == 0
        record = json.loads(capsys.readouterr().out)
        assert record["groups"] == entry["top100"], name
        assert record["converged"]
        assert len(record["scores"]) == 100


@pytest.fixture
def centroids(tmp_path: Path, rng: np.random.Generator) -> list[object]:
    np.savez(tmp_path / "s.npz", means=rng.random((6, 4)), names=[f"n{k:02d} group {k}" for k in range(6)])
    np.savez(tmp_path / "t.npz", means=rng.random((3, 4)))
    return ["--source", tmp_path / "s.npz", "--target", tmp_path / "t.npz", "--top", 2]


def test_expected_ids_are_indices_names_or_first_words(
    centroids: list[object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ids.txt").write_text("0\nn01\n\nn02 group 2\n", encoding="utf-8")
    assert select(*centroids, "--expected-ids", tmp_path / "ids.txt") == 0
    assert "of 3 expected groups" in capsys.readouterr().out
    (tmp_path / "ids.json").write_text('[0, 1, "n05"]', encoding="utf-8")
    assert select(*centroids, "--expected-ids", tmp_path / "ids.json", "--method", "nearest") == 0


def test_without_a_list_there_is_no_recall(centroids: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    assert select(*centroids, "--json", "--method", "random") == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["record"], record["version"]) == ("select", 1)
    assert record["recall"] is None
    assert len(record["groups"]) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "uott"], "Did you mean 'uot'"),
        (["--cost", "cosin"], "cosine"),
        (["--cost-scale", "-1"], "cost_scale must be"),
        (["--top", "7"], "7"),
        (["--source", "none.npz"], "must be a NumPy archive"),
        (["--expected-ids", "imagenet-bird"], "Did you mean 'imagenet-birds'"),
        (["--expected-ids", "bad.txt"], "a group of .* must be an index from 0 to 5 .* but is 'x99'"),
        (["--expected-ids", "bad.json"], "must be a JSON list"),
        (["--target", "empty.npz"], "must hold an array 'means'"),
        (["--target", "flat.npz"], r"must be numbers of shape \(K, D\)"),
        (["--target", "names.npz"], "one name a row"),
        (["--source", "cut.npz"], "cut.npz cannot be read: .*not a zip file; copy it again"),
        (["--source", "nan.npz"], r"must be finite .* row 1 of the source \(group 'crane'\)"),
        (["--source", "twice.npz", "--expected-ids", "crane.txt"], r"'crane' may be any of 2: 1 \('crane'\), 2 "),
        (["--seed", "-1"], "--seed"),
        (["--seed", "-1", "--method", "random"], "--seed"),
        (["--top", "-1"], "top_k must be"),
        (["--cost-scale", "nan"], "cost_scale must be"),
    ],
)
def test_a_mistake_is_one_message_with_status_two(
    centroids: list[object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    import re

    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.txt").write_text("x99\n", encoding="utf-8")
    (tmp_path / "bad.json").write_text("[1,", encoding="utf-8")
    np.savez(tmp_path / "empty.npz", other=np.zeros(3))
    np.savez(tmp_path / "flat.npz", means=np.zeros(3))
    np.savez(tmp_path / "names.npz", means=np.ones((2, 4)), names=["a"])
    np.savez(tmp_path / "twice.npz", means=np.ones((3, 4)), names=["hen", "crane", "crane"])
    np.savez(tmp_path / "nan.npz", means=[[1.0] * 4, [np.nan] * 4], names=["owl", "crane"])
    (tmp_path / "cut.npz").write_bytes((tmp_path / "twice.npz").read_bytes()[:300])
    (tmp_path / "crane.txt").write_text("crane\n", encoding="utf-8")
    assert select(*centroids, *words) == 2
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize(
    "names",
    [
        ["kite [bird]", "kite [/toy]", "[bold]hen[/bold]"],
        ["[/]", "\\[owl]", "[link=x]y"],
        [":smile:", "a:owl:b", "n01: hen"],
        ["[red]", "[@click=x]", "[not closed"],
    ],
)
def test_names_are_printed_as_they_are(names: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    means = np.eye(3) + 0.1
    np.savez(tmp_path / "s.npz", means=means, names=names)
    np.savez(tmp_path / "t.npz", means=means[:1], names=[f"[{names[0]}"])
    (tmp_path / "ids.json").write_text(json.dumps(names), encoding="utf-8")
    words = ["--source", tmp_path / "s.npz", "--target", tmp_path / "t.npz", "--top", 3, "--method", "nearest"]
    assert select(*words, "--expected-ids", tmp_path / "ids.json", "--json") == 0
    printed = capsys.readouterr()
    assert [name for name in names if name not in printed.err] == []
    assert sorted(json.loads(printed.out)["names"]) == sorted(names)


@pytest.mark.usefixtures("ray_cluster")
def test_a_studys_image_sets_are_ranked_by_name_as_in_the_study(
    tiny_fields: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same groups as the study's own selection, in the same order; the second time from its caches alone."""
    from pretrieve.study.walk import run_study

    fields = {**tiny_fields, "targets": ["tiny-a"], "methods": ["uot"], "selection": {"top_k": 3}}
    fields["grid"] = {"lr": [0.02], "weight_decay": [0.0], "source_weight": [0.5]}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(fields), encoding="utf-8")
    words = ["--study", tmp_path / "study.yaml", "--target", "tiny-a", "--top", 3, "--json"]
    assert select(*words) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["names"] == [f"tiny-source class {group}" for group in record["groups"]]
    settings = load_study_file(tmp_path / "study.yaml")
    run_study(settings, StudyObserver())
    chosen = json.loads((settings.folder / "selections" / "tiny-a" / "uot.json").read_text(encoding="utf-8"))
    assert (record["groups"], record["scores"]) == (chosen["groups"], chosen["scores"])
    assert select("--study", tmp_path / "study.yaml", "--target", "tiny-b") == 2
    assert "must be one of tiny-source, tiny-a, but is 'tiny-b'. Did you mean 'tiny-a'?" in capsys.readouterr().err


def test_without_a_study_the_source_must_be_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert select("--target", tmp_path / "t.npz") == 2
    assert "--source must be given" in capsys.readouterr().err


def test_the_selected_classes_files_are_listed_to_be_fetched(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, index, out = shared / "class_means" / "resnet18_supervised", tmp_path / "index.txt", tmp_path / "list.txt"
    words = ("--source", folder / "imagenet.npz", "--target", folder / "cub.npz", "--top", 2)
    assert select(*words, "--files", out) == 0
    ids = [line.rstrip("/") for line in out.read_text(encoding="utf-8").splitlines()]
    assert len(ids) == 2
    index.write_text("".join(f"train/{each}/1.JPEG\t1000000\n" for each in ("n00000000", *ids)), encoding="utf-8")
    capsys.readouterr()
    assert select(*words, "--files", out, "--index", index) == 0
    assert out.read_text(encoding="utf-8").splitlines() == [f"train/{each}/1.JPEG" for each in ids]
    assert f"{out}: 2 files of 2 classes, 0.002 GB" in capsys.readouterr().out
