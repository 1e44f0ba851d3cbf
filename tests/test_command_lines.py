"""Every command line of README and docs: it parses, and is run here, by another test, or not at all for a reason."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import typer
from PIL import Image

from pretrieve.cli.app import app, main

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAMS = ("pretrieve", "make", "mlflow models", "python", "ray", "pip")

RUN_HERE = (
    "pretrieve cache",
    "pretrieve card photos/birds",
    "pretrieve components",
    "pretrieve recipes",
    "pretrieve targets",
)
"""Beginnings of the lines that are run here as they stand: those that take less than a second and need no data."""

RUN_BY = {
    "pretrieve card": "platform/cli/test_card_command.py",
    "pretrieve cluster check": "platform/execution/test_cluster_check.py",
    "pretrieve deliver": "platform/cli/test_deliver_command.py",
    "pretrieve demo": "browser/conftest.py",
    "pretrieve export": "platform/cli/test_predict_command.py",
    "pretrieve experiments": "platform/paper/test_miniatures.py",
    "pretrieve init": "platform/cli/test_init_command.py",
    "pretrieve merge": "platform/study/test_merge.py",
    "pretrieve plan": "platform/study/test_forecast_study.py",
    "pretrieve predict": "platform/cli/test_predict_command.py",
    "pretrieve prepare": "platform/cli/test_prepare_command.py",
    "pretrieve report": "platform/cli/test_app.py",
    "pretrieve reproduce": "platform/paper/test_class_means.py",
    "pretrieve run": "platform/cli/test_app.py",
    "pretrieve select": "platform/cli/test_select_command.py",
    "pretrieve status": "platform/stages/test_contract.py",
    "pretrieve ui": "browser/conftest.py",
    "pretrieve validate": "platform/stages/test_network_check.py",
    "mlflow models serve": "platform/tracking/test_served_model.py",
    "ray job submit": "jobs/test_run_study.py",
}
"""Beginnings of lines whose command is run, on a study and data of its own, by the tests of this file."""

NOT_RUN = {
    "pretrieve extend": "trains for minutes; tests/platform/study/test_extend.py calls `Study.extend` as it does",
    "pretrieve register": "needs a study that ran; `Study.register`, all that it calls, is tested with a whole study",
    "make": "installs 8 GB first, as CI does with `make check` in a fresh clone",
    "pip install": "installs several GB, which CI does in a fresh clone",
    "python -c": "simulates; tests/platform/statistics/test_looks.py tests the levels that it prints",
    "python benchmarks/": "measures for minutes to hours",
    "ray get-auth-token": "writes a token into the home folder",
    "ray start": "starts a node that outlives the command; tests/jobs start theirs with other ports",
}
"""Beginnings of lines that no test runs, and why."""


class Line(NamedTuple):
    """A command line as a page prints it, with its continuation lines."""

    page: str
    text: str

    @property
    def words(self) -> list[str]:
        """Its words, without a comment and without the file that its output goes to."""
        words = shlex.split(self.text, comments=True)
        return words[: words.index(">")] if ">" in words else words

    @property
    def command(self) -> str:
        return " ".join(self.words)

    def begins(self, beginning: str) -> bool:
        return self.command.startswith(beginning)


def lines_of(page: Path) -> list[Line]:
    """List the command lines of a page: lines of indented or fenced blocks that begin with one of the programs."""
    text = page.read_text(encoding="utf-8").replace("\\\n", "")
    fenced = re.findall(r"^ *```(?:console|bash|sh)?\n(.*?)^ *```", text, flags=re.MULTILINE | re.DOTALL)
    plain = re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^    (\S.*)$", plain, flags=re.MULTILINE)
    found = [each.strip().removeprefix("$ ") for block in fenced for each in block.splitlines()] + indented
    return [Line(page.name, each) for each in found if re.match(rf"({'|'.join(PROGRAMS)}) ", each)]


LINES = [
    line
    for page in PAGES
    for line in lines_of(page)
    if page.name not in ("command-line.md", "architecture.md")  # usage lines with placeholders; the packages
]
SPANS = sorted(
    {span for page in PAGES for span in re.findall(r"`(pretrieve [^`\n]*)`", page.read_text(encoding="utf-8"))}
)


def beginnings(line: Line) -> list[str]:
    """Return the longest beginning of each list that a line has."""
    return [
        max(those, key=len)
        for those in ([each for each in of if line.begins(each)] for of in (RUN_HERE, RUN_BY, NOT_RUN))
        if those
    ]


def parse(words: list[str], root: Any) -> None:
    """Parse the words after a program's name by its command line: commands, options, types and ranges. Runs nothing."""
    command, name = root, ""
    while hasattr(command, "commands"):
        name, *words = words
        command = command.commands[name]
    command.make_context(name, list(words))


def parse_python(words: list[str], folder: Path) -> None:
    """Check that a script exists and knows the options that it is given."""
    if words[0] == "-c":
        compile(words[1], "-c", "exec")
        return
    source = (folder / words[0]).read_text(encoding="utf-8")
    for option in (word.partition("=")[0] for word in words[1:] if word.startswith("--")):
        assert f'"{option}"' in source, option


def check(line: Line) -> None:
    """Raise what a wrong command line raises, whatever its program."""
    program, *words = line.words
    if program == "pretrieve":
        parse(words, typer.main.get_command(app))
    elif program == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        for target in words:
            assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
    elif program == "python":
        parse_python(words, ROOT)
    elif program == "pip":
        extras = re.findall(r"\[([\w-]+)\]", line.text)
        settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        assert all(f"\n{extra} = [" in settings for extra in extras)
    elif program == "mlflow":
        parse(words, importlib.import_module("mlflow.cli").cli)
    else:
        given, _, job = " ".join(map(shlex.quote, words)).partition(" -- ")
        parse(shlex.split(given) + ["--", "true"] * bool(job), importlib.import_module("ray.scripts.scripts").cli)
        if job:  # run_study.py takes the arguments of `pretrieve run`
            _, script, *arguments = shlex.split(job)
            assert (ROOT / "jobs" / script).is_file()
            parse(["run", *arguments], typer.main.get_command(app))


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line.page}: {line.command[:60]}")
def test_a_line_parses(line: Line) -> None:
    check(line)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("pretrieve plan", "Missing"),
        ("pretrieve plan x.yaml --detekt 1", "--detekt"),
        ("pretrieve card x --seed -1", "greater than or equal to 0|range"),
        ("pretrieve no", "'no'"),
        ("make nothing", "nothing"),
        ("python benchmarks/racing.py --levls 0.1", "--levls"),
        ("ray start --hed", "--hed"),
    ],
)
def test_a_wrong_line_does_not(text: str, fault: str) -> None:
    with pytest.raises(Exception, match=fault):
        check(Line("", text))


@pytest.mark.parametrize("span", SPANS)
def test_a_command_in_a_sentence_exists(span: str) -> None:
    """With all that it is given, where nothing is left out: `pretrieve plan` alone is only a name."""
    words = Line("", span).words[1:]
    command = typer.main.get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    if words and words[0] not in ("COMMAND", "--version", "--help"):
        command.make_context("", words)


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line.page}: {line.command[:60]}")
def test_a_line_is_run_or_has_a_reason_why_not(line: Line) -> None:
    found = beginnings(line)
    assert found, "name its beginning in RUN_HERE, RUN_BY or NOT_RUN"
    assert len(found) == 1 or "pretrieve card photos/birds" in found, found


def test_the_lists_hold_nothing_that_no_page_prints() -> None:
    used = {each for line in LINES for each in beginnings(line)}
    assert {*RUN_HERE, *RUN_BY, *NOT_RUN} == used


@pytest.mark.parametrize("beginning", RUN_BY)
def test_the_file_that_runs_a_command_calls_it(beginning: str) -> None:
    source = (ROOT / "tests" / RUN_BY[beginning]).read_text(encoding="utf-8")
    assert f'"{beginning.split()[-1]}"' in source


@pytest.mark.parametrize("command", sorted({line.command for line in LINES if any(map(line.begins, RUN_HERE))}))
def test_a_cheap_line_runs(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("sparrow", "wren"):
        (tmp_path / "photos" / "birds" / name).mkdir(parents=True)
        for number in range(2):
            pixels = np.full((32, 32, 3), 60 + 50 * number, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / "birds" / name / f"{number}.png")
    (tmp_path / "pretrieve-runs" / "cache").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(command)[1:])
    assert ended.value.code in (0, None), capsys.readouterr().err
    assert capsys.readouterr().out
