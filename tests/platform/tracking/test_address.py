from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from pretrieve.study.settings import StudySettings
from pretrieve.tracking.address import database_file, for_client, is_database, sqlite_store, without_password
from pretrieve.tracking.run_tree import RunTree


class Listener(HTTPServer):
    """Stands for a tracking server that refuses everything, and keeps what it was shown as authorization."""

    def __init__(self) -> None:
        self.shown: list[str | None] = []
        super().__init__(("127.0.0.1", 0), Refusal)


class Refusal(BaseHTTPRequestHandler):
    server: Listener

    def do_GET(self) -> None:
        self.server.shown.append(self.headers.get("Authorization"))
        self.send_error(403)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def listener() -> Iterator[Listener]:
    server = Listener()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def own_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "")


def test_the_server_is_shown_the_password_and_the_error_is_not(listener: Listener) -> None:
    address = f"http://me:s3%20cret@127.0.0.1:{listener.server_port}"
    with pytest.raises(MlflowException) as raised:
        RunTree(tracking_uri=address, experiment="birds", artifact_root=None)
    assert listener.shown == ["Basic " + base64.b64encode(b"me:s3 cret").decode()]
    assert "s3" not in str(raised.value)


@pytest.mark.parametrize("address", ["http://mlflow:5000/x", "sqlite:////a/b.db", "postgresql://me:s3cret@db/x"])
def test_addresses_without_a_servers_password_stay_as_they_are(address: str) -> None:
    assert for_client(address) == address


@pytest.mark.parametrize(
    "text",
    [
        "postgresql+psycopg://me:s3cret@db/mlflow",
        "(https://:s3cret@mlflow.example)",
        "http://me:p@s3cret@mlflow:5000 is away",
        "http://me:a/s3cret@mlflow:5000",
        "postgresql://db/mlflow?sslmode=require&password=s3cret&user=me",
        "'http://a:s3cret@b' and \"http://c:s3cret@d\"",
    ],
)
def test_no_password_is_left_in_a_text(text: str) -> None:
    hidden = without_password(text)
    assert "s3cret" not in hidden
    assert "***" in hidden
    assert without_password(hidden) == hidden


def test_text_without_a_password_is_left_alone() -> None:
    text = "see http://mlflow:5000/#/experiments/1, postgresql://me@db/x or write to me@example.org"
    assert without_password(text) == text


def test_a_server_keeps_artifacts_itself_and_a_database_does_not() -> None:
    assert not is_database("https://mlflow.example")
    assert all(map(is_database, ["sqlite:///x.db", "postgresql://db/x", "mysql+pymysql://db/x"]))


def test_the_studys_address_comes_before_the_environments_and_sqlite_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = StudySettings.model_validate(
        {
            "name": "birds",
            "source": "characters",
            "targets": ["greek"],
            "recipe": "paper2022",
            "backbone": {"name": "small_resnet", "pretrain": {"epochs": 1}},
            "storage": str(tmp_path),
        }
    )
    assert plain.tracking() == sqlite_store(tmp_path / "birds") == f"sqlite:///{tmp_path}/birds/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    assert plain.tracking() == "http://mlflow:5000"
    named = plain.model_copy(update={"tracking_uri": "http://me:s3cret@other:5000"})
    assert named.tracking() == "http://me:s3cret@other:5000"
    assert "s3cret" not in repr(named)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    assert plain.tracking() == sqlite_store(tmp_path / "birds")


@pytest.mark.parametrize(
    "address",
    [
        "http://me@corp.com:s3cret@mlflow:5000",
        "http://me:s3'cret@mlflow",
        'postgresql://h/d?user=me&password=s3"cret',
        "mysql://db/x?ssl_key_password=s3cret",
        "mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BUID%3Dme%3BPWD%3Ds3cret%3BServer%3Dh",
        "mssql+pyodbc:///?odbc_connect=x%3BPWD%3Ds3cret",
    ],
)
def test_passwords_in_every_place_of_an_address_are_hidden(address: str) -> None:
    shown = without_password(f"no answer from {address} and more")
    assert "s3" not in shown
    assert "cret" not in shown
    assert shown.startswith("no answer from ")
    assert shown.endswith(" and more")
    assert "***" in shown


@pytest.mark.parametrize("kind", ["sqlite", "sqlite+pysqlite", "SQLITE"])
def test_a_database_file_is_known_however_its_address_is_written(kind: str) -> None:
    assert database_file(f"{kind}:////runs/mlflow.db?mode=ro") == Path("/runs/mlflow.db")
    assert database_file(f"{kind}:///:memory:") is None
