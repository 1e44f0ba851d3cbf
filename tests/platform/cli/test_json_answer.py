"""`--json`: every command prints one object in one shape on standard output, and nothing else there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer.main

from pretrieve.cli import app as cli
from pretrieve.cli.json_answer import answering_json


def ask(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main([*map(str, words), "--json"])
    return int(ended.value.code or 0)


def test_every_command_that_ends_by_itself_has_the_option() -> None:
    without = {
        name
        for group, prefix in ((cli.app, ""), (cli.cache, "cache "))
        for name, command in ((prefix + key, each) for key, each in typer.main.get_command(group).commands.items())
        if not hasattr(command, "commands") and "--json" not in {word for each in command.params for word in each.opts}
    }
    assert without == {"ui"}


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        (["targets"], {"published", "registered"}),
        (["targets", "pets"], {"name", "facts"}),
        (["components"], {"families"}),
        (["components", "optimizers"], {"family", "members"}),
        (["recipes", "standard"], {"name", "settings"}),
        (["experiments", "--mini"], {"experiments", "folder"}),
    ],
)
def test_lists_are_objects_with_the_name_of_their_command(
    words: list[str], fields: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(*words) == 0
    printed = capsys.readouterr()
    answer = json.loads(printed.out)
    assert (answer.pop("record"), answer.pop("version")) == (words[0], 1)
    assert set(answer) == fields
    assert printed.err  # what people read


def test_an_error_leaves_standard_output_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask("validate", tmp_path / "none.yaml") == 2
    printed = capsys.readouterr()
    assert (printed.out, "a study file must exist" in printed.err) == ("", True)


def test_paths_are_text_and_what_is_no_number_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    def diverged() -> dict[str, object]:
        print("aside")
        return {"loss": [float("nan"), 1.5], "file": Path("a") / "b", "record": "trial"}

    answering_json(diverged)(as_json=True)
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"record": "trial", "version": 1, "loss": [None, 1.5], "file": "a/b"}
    assert printed.err == "aside\n"
    answering_json(diverged)()
    assert capsys.readouterr().out == "aside\n"
