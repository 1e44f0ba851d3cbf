"""`pretrieve components` lists the families, and the members of one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pretrieve.testing
from pretrieve.cli import app as cli
from pretrieve.components import FAMILIES


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, repository: Path) -> Iterator[None]:
    """The example package, which brings a member of nine families."""
    monkeypatch.syspath_prepend(str(repository / "tests" / "example_package"))
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "pretrieve_example"]:
        del sys.modules[name]


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        cli.main(["components", *words])
    assert ended.value.code == 0
    return capsys.readouterr().out


def line_of(word: str, text: str) -> str:
    (line,) = [line for line in text.splitlines() if line.split()[:1] == [word]]
    return " ".join(line.split())


def test_every_family_is_listed_with_its_members_and_its_entry_points(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys)
    for family in FAMILIES.values():
        assert line_of(family.name, out) == f"{family.name} {len(family.members())} {family.group}"
        assert family.members(), "each has one to begin with"
    assert "`pretrieve components FAMILY`" in out
    assert "docs/extending.md" in out


@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
def test_each_member_is_listed_with_what_it_does_and_how_to_bring_ones_own(
    capsys: pytest.CaptureFixture[str], family: pretrieve.components.Family
) -> None:
    members = family.members()
    out = printed(capsys, family.name)
    for info in members:
        _, _, rest = line_of(info.word, out).partition(info.origin)
        assert rest.strip()[:1].isupper() or not info.summary, "a sentence"
    assert "cannot be used" not in out
    last = out.splitlines()[-1]
    assert last.startswith("One of your own is ")
    assert f"as my_module:my_{family.singular}, or declare a word for it in a package under the entry points" in last
    assert f"pretrieve.testing.check_{family.singular} checks it" in last
    assert callable(getattr(pretrieve.testing, f"check_{family.singular}"))
    assert family.contract.__name__ in last


def test_hyperparameters_are_shown_where_members_read_some(capsys: pytest.CaptureFixture[str]) -> None:
    assert line_of("sgd", printed(capsys, "optimizers")).endswith("lr, weight_decay, head_lr_ratio")
    assert line_of("co_tuning", printed(capsys, "objectives")).endswith("co_tuning_lr, co_tuning_weight")
    assert "hyperparameters" not in printed(capsys, "schedules")


def test_backbones_are_listed_with_the_names_that_are_resolved_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, "backbones")
    assert line_of("small_resnet", out) == "small_resnet built in Map images of 32 × 32 px to 64 features."
    assert "to 2048 features, and for the selection to 128." in line_of("moco_resnet50", out)
    assert "A study can also name any of them as NAME@IMAGE_SIZE; the name of a torchvision" in out


@pytest.mark.usefixtures("installed")
def test_a_member_of_an_installed_package_is_shown_like_a_built_in_one(capsys: pytest.CaptureFixture[str]) -> None:
    line = line_of("sign_descent", printed(capsys, "optimizers"))
    assert line.startswith("sign_descent the package pretrieve-example 1.0 Move each weight")
    assert line.endswith("lr, weight_decay, head_lr_ratio")
    assert line_of("warm_joint", printed(capsys, "objectives")).endswith("source_weight, temperature")


def test_a_package_that_cannot_be_imported_is_shown_with_its_fault(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = tmp_path / "broken-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n", encoding="utf-8")
    points = "[pretrieve.metrics]\nlost = no_such_module:Thing\nfailing = failing_module:Thing\n"
    (metadata / "entry_points.txt").write_text(points, encoding="utf-8")
    (tmp_path / "failing_module.py").write_text("raise RuntimeError('no [GPU] here')\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    out = printed(capsys, "metrics")
    assert line_of("lost", out).startswith("lost the package broken 1.0 cannot be used: a metric of an installed")
    assert line_of("failing", out) == "failing the package broken 1.0 cannot be used: no [GPU] here"
    assert line_of("top1", out)


def test_an_unknown_family_is_a_mistake_that_names_the_nearest_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["components", "optimiser"])
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert "a family must be one of selectors, objectives, " in err
    assert "but is 'optimiser'. Did you mean 'optimizers'?" in err
