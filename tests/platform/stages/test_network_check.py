"""`validate`, `plan` and `run` refuse a network that cannot be used before anything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import pretrieve as pt
from pretrieve.artifacts.sealed_files import write_sealed_json
from pretrieve.errors import BackboneError, StudyFileError
from pretrieve.stages.observer import StudyObserver


class Notices(StudyObserver):
    """Keeps what the user should know."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def noticed(self, message: str) -> None:
        self.messages.append(message)


def study(tmp_path: Path, backbone: str | dict[str, Any], **fields: Any) -> pt.Study:
    given = {"name": backbone} if isinstance(backbone, str) else backbone
    settings = {"source": "characters", "targets": ["digits"], "methods": ["finetune"], "storage": tmp_path, **fields}
    return pt.Study(name="own", backbone={"pretrain": {"epochs": 1}, **given}, **settings)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("own_networks:two_outputs", "in training mode returns a tuple"),
        ("own_networks:tied@64", "'own_networks:tied@64' at 64 px cannot predict"),
        ("own_networks:failing", "OSError: no licence for this network"),
    ],
)
def test_a_network_that_cannot_be_used_is_refused_before_the_study_runs(tmp_path: Path, name: str, reason: str) -> None:
    wrong = study(tmp_path, name)
    for check in (wrong.validate, wrong.plan, wrong.run):
        with pytest.raises(BackboneError, match=reason):
            check(Notices())
    assert not list(tmp_path.glob("cache/*/*/*.json")), "a refusal is not kept: the user may mend the network"


def test_the_result_is_kept_for_the_network_and_told_each_time(tmp_path: Path) -> None:
    first, second = Notices(), Notices()
    study(tmp_path, "own_networks:narrow").validate(first)
    (kept,) = tmp_path.glob("cache/backbones/checked/*.json")
    assert first.messages == [
        "own_networks:narrow computes in torch's own order of memory, which is slower than channels-last: it has a "
        "strided 1 × 1 convolution of 8 channels, for which oneDNN fails on a CPU"
    ]
    write_sealed_json(kept, {"network": "own_networks:narrow", "order": "it was kept"})
    study(tmp_path, "own_networks:narrow").validate(second)
    assert second.messages[0].endswith(": it was kept")
    study(tmp_path, "own_networks:narrow@48").validate(second)
    assert len(list(kept.parent.iterdir())) == 2


def test_a_fault_of_the_backbones_name_hides_no_other(tmp_path: Path) -> None:
    with pytest.raises(StudyFileError) as raised:
        study(tmp_path, "own_networks:missing", grid={"lr": [-1.0]}, seed=-1)
    lines = raised.value.faults
    assert [line.partition(" ")[0].rstrip(":") for line in lines] == ["backbone.name", "grid.lr.0", "seed"]
    with pytest.raises(StudyFileError, match=r"storage.*must be a path that can be followed") as raised:
        study(tmp_path, "small_resnet", storage="~nobody-of-that-name/runs", seed=-1)
    assert len(raised.value.faults) == 2


def test_the_command_line_checks_a_study_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pretrieve.cli.app import main

    file = tmp_path / "study.yaml"
    fields = "name: own\nsource: characters\ntargets: [digits]\nmethods: [finetune]\n"
    file.write_text(f"{fields}backbone: {{name: 'own_networks:two_outputs', pretrain: {{epochs: 1}}}}\n")
    words = ["validate", str(file), "--storage", str(tmp_path / "runs")]
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert "returns a tuple" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="0"):
        main([*words, "--set", "backbone.name=small_resnet"])
    assert "own: settings and networks are right" in capsys.readouterr().out
