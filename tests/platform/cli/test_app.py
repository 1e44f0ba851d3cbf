from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
import yaml

from pretrieve.cli import app as cli
from pretrieve.errors import PretrieveError, UserError
from pretrieve.study import walk


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pretrieve", *arguments], capture_output=True, text=True, check=False, cwd=cwd
    )


def test_help_lists_the_commands_in_the_order_of_the_work() -> None:
    out = run("--help")
    assert out.returncode == 0
    commands = (
        "init",
        "validate",
        "plan",
        "run",
        "status",
        "report",
        "extend",
        "card",
        "register",
        "cache",
        "reproduce",
    )
    places = [out.stdout.index(f"│ {command} ") for command in commands]
    assert places == sorted(places)
    assert "Exit codes: 0, all is done; 1, trials failed" in out.stdout


def test_each_command_line_of_the_documents_has_a_command_and_options_that_exist(repository: Path) -> None:
    command = typer.main.get_command(cli.app)
    pages = [repository / name for name in ("README.md", "CONTRIBUTING.md")] + sorted(
        (repository / "docs").rglob("*.md")
    )
    lines = [
        (page.name, words.partition(" #")[0].split())
        for page in pages
        for words in re.findall(r"(?:^    |`)pretrieve ([a-z][^`\n]*)", page.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert len(lines) > 20
    for page, (name, *words) in lines:
        named = command.commands.get(name)
        assert named is not None, (page, name)
        if hasattr(named, "commands") and words:
            named = named.commands[words[0]]
        options = {word for each in named.params for word in each.opts}
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= options, (page, name, words)


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_import_nothing_that_is_slow(option: str) -> None:
    """They take 0.3 s and 0.2 s, where torch, Ray and MLflow take seconds to import; modules are counted, not time."""
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        "from pretrieve.cli.app import main\n"
        f"main([{option!r}])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(out.stderr.split())
    assert {"typer", "pretrieve.cli.app"} <= imported
    slow = {"torch", "ray", "mlflow", "pandas", "numpy", "scipy", "pyarrow", "pydantic", "yaml", "PIL"}
    assert not slow & imported
    if option == "--version":
        assert not {"rich.table", "rich.markdown", "typer.rich_utils"} & imported


def test_a_shell_completes_commands() -> None:
    code = "import sys; sys.argv = ['pretrieve']; from pretrieve.cli.app import main; main()"
    asked = {"_PRETRIEVE_COMPLETE": "complete_bash", "COMP_WORDS": "pretrieve re", "COMP_CWORD": "1"}
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, **asked}
    )
    assert out.stdout.split() == ["report", "register", "refit", "recipes", "reproduce"]


@pytest.mark.parametrize("command", ["demo", "run", "report", "targets", "ui"])
def test_every_command_explains_itself(command: str) -> None:
    out = run(command, "--help")
    assert out.returncode == 0
    assert "Usage" in out.stdout


def test_a_broken_study_file_is_one_message_status_two_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    broken = {
        "name": "broken",
        "source": {"folder": "no/such/folder"},
        "targets": [{"folder": "target"}],
        "recipe": "paper2022",
        "backbone": {"name": "small_resnet", "pretrain": {"epochs": 1}},
        "methods": ["finetune", "greedyot"],
        "grid": {"lr": [-0.01]},
        "trainning": {"epochs": 3},
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(broken), encoding="utf-8")
    out = run("run", "study.yaml", cwd=tmp_path)
    assert out.returncode == 2
    assert "Traceback" not in out.stderr
    assert "study.yaml has 4 faults" in out.stderr
    for word in ("no/such/folder", "greedyot", "-0.01", "trainning"):
        assert word in out.stderr
    assert out.stderr.count("\n  - ") == 4


def test_targets_lists_the_built_in_sets() -> None:
    out = run("targets")
    assert out.returncode == 0
    assert {"characters", "digits", "greek", "symbols"} <= set(out.stdout.split())


def test_report_of_a_study_that_never_ran_says_so(tmp_path: Path) -> None:
    from pretrieve.demo import STUDY_FILE

    out = run("report", str(STUDY_FILE), "--storage", str(tmp_path))
    assert out.returncode == 2
    assert "Traceback" not in out.stderr
    assert "error:" in out.stderr


def test_ui_of_a_study_that_never_ran_says_so(tmp_path: Path) -> None:
    out = run("ui", "--storage", str(tmp_path))
    assert out.returncode == 2
    assert "run it first" in out.stderr


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UserError("x"), 2),
        (PretrieveError("x"), 1),
        (KeyError("x"), None),
        (OSError("the server does not answer"), 1),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "weights.pt"), 1),
        (OSError(errno.ENOSPC, "No space left on device"), 1),
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), None),  # which? its traceback may tell
    ],
)
def test_exit_status_tells_mistakes_from_failures_from_faults(error: Exception, status: int | None) -> None:
    assert cli._exit_status(error) == status


@pytest.mark.parametrize("is_in_environment", [False, True])
def test_a_server_that_does_not_answer_is_named_without_its_password(
    is_in_environment: bool,
    tiny_fields: dict[str, object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(walk, "OPENING_PATIENCE_S", 0.5)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "")
    address = "http://me:s3cret@127.0.0.1:1/"  # nothing listens on port 1
    if is_in_environment:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    else:
        tiny_fields["tracking_uri"] = address
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tiny_fields), encoding="utf-8")
    for command in ("run", "refit", "report", "ui"):
        with pytest.raises(SystemExit) as ended:
            cli.main([command, str(tmp_path / "study.yaml"), "--storage", str(tmp_path / "elsewhere")])
        assert ended.value.code == 2
    printed = capsys.readouterr()
    assert "127.0.0.1:1" in printed.err
    assert "s3cret" not in printed.out + printed.err
    left = [path for path in (tmp_path / "elsewhere").rglob("*") if path.is_file()]
    assert not [path for path in left if b"s3cret" in path.read_bytes()]


def test_a_fault_of_a_setting_tells_no_password(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pretrieve.demo import STUDY_FILE

    address = "postgresql://me:s3cret@db/mlflow"
    for override in (f"tracking_uri=[{address}]", f"tracking_uri=[{address}", f"tracking={address}"):
        with pytest.raises(SystemExit) as ended:
            cli.main(["run", str(STUDY_FILE), "--set", override, "--storage", str(tmp_path)])
        assert ended.value.code == 2
    printed = capsys.readouterr()
    assert "tracking_uri" in printed.err
    assert "s3cret" not in printed.out + printed.err


def test_commands_in_this_process(
    tiny_fields: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str], ray_cluster: None
) -> None:
    fields = {**tiny_fields, "targets": ["tiny-a"], "methods": ["finetune"], "grid": {"lr": [0.01]}}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(fields), encoding="utf-8")
    storage = str(tmp_path / "elsewhere")
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", str(tmp_path / "study.yaml"), "--storage", storage, "--set", "grid.weight_decay=[0.0]"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert "tiny-a" in printed
    assert "finetune" in printed
    report = tmp_path / "elsewhere" / "tiny" / "report.html"
    assert report.exists()
    report.unlink()
    with pytest.raises(SystemExit) as ended:
        cli.main(["report", str(tmp_path / "study.yaml"), "--storage", storage])
    assert ended.value.code == 0
    assert report.exists()
    assert "tiny-a" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        cli.main(["status", str(tmp_path / "study.yaml"), "--storage", storage, "--json"])
    assert ended.value.code == 0
    printed_by_status = capsys.readouterr()
    answer = json.loads(printed_by_status.out)
    assert (answer["record"], answer["version"], answer["driver"]) == ("status", 1, None)
    assert (answer["study"]["record"], answer["study"]["name"]) == ("study", "tiny")
    assert all(stage["num_there"] == stage["num_artifacts"] for stage in answer["stages"])
    assert "tiny: finished" in printed_by_status.err
