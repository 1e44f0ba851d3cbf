"""What a worker raises reaches the user as our error with the cause's text."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import ray
from ray.data import DataContext
from ray.exceptions import UserCodeException

from pretrieve.cluster import carrying_errors, causes_of_task_errors
from pretrieve.errors import DamagedArtifactError, ImageSetError, PretrieveError, UserError, WorkerError
from pretrieve_selection import SelectionInputError

pytestmark = pytest.mark.usefixtures("ray_cluster")


class UnpicklableError(Exception):
    def __init__(self, number: int, word: str) -> None:
        super().__init__(f"{word} {number}")
        self.stays_here = open(os.devnull)  # noqa: SIM115, PTH123


@ray.remote(num_cpus=0, max_retries=0)
def task(kind: str) -> None:
    if kind == "ends":
        os._exit(3)
    if kind == "unpicklable":
        raise UnpicklableError(7, "seven")
    errors = {
        "ours": ImageSetError("an image must decode, but does not"),
        "damaged": DamagedArtifactError(Path("a.npy"), "was cut"),
        "selection": SelectionInputError("cost must be finite"),
        "disk": FileNotFoundError(2, "No such file", "x.png"),
        "theirs": RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        "silent": ZeroDivisionError(),
    }
    raise errors[kind]


@ray.remote(num_cpus=0, max_retries=0)
def caller(kind: str) -> None:
    ray.get(task.remote(kind))


@ray.remote(num_cpus=0)
class Broken:
    def __init__(self) -> None:
        raise KeyError("no such layer")

    def work(self) -> None:
        pass


@pytest.mark.parametrize("remote", [task, caller], ids=["task", "task of a task"])
@pytest.mark.parametrize(
    ("kind", "error"),
    [("ours", ImageSetError), ("damaged", DamagedArtifactError), ("selection", SelectionInputError), ("disk", OSError)],
)
def test_our_errors_and_those_of_the_disk_arrive_as_they_are(remote, kind: str, error: type[Exception]) -> None:
    with pytest.raises(error) as caught, causes_of_task_errors():
        ray.get(remote.remote(kind))
    assert not isinstance(caught.value, ray.exceptions.RayError)
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("theirs", "RuntimeError: mat1 and mat2 shapes cannot be multiplied, raised in .*test_worker_errors.py, line "),
        ("silent", "ended in ZeroDivisionError, raised in"),
        ("unpicklable", "seven 7"),
        ("ends", "(?i)worker"),
    ],
)
def test_other_errors_are_told_in_one_line(kind: str, text: str) -> None:
    with pytest.raises(WorkerError, match=text) as caught, causes_of_task_errors():
        ray.get(task.remote(kind))
    assert "\n" not in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_an_error_of_an_actor_that_is_made_is_told() -> None:
    with pytest.raises(WorkerError, match=r"KeyError: 'no such layer'"), causes_of_task_errors():
        ray.get(Broken.remote().work.remote())


@pytest.mark.parametrize(
    ("error", "found", "text"),
    [
        (UserError("a rule"), UserError, "^a rule$"),
        (FileNotFoundError(2, "No such file", "x.png"), FileNotFoundError, r"^\[Errno 2\] No such file: 'x.png'$"),
        (DamagedArtifactError(Path("a.npy"), "was cut"), DamagedArtifactError, "but a.npy was cut; run the study"),
        (ValueError("a value"), WorkerError, "ended in ValueError: a value, raised in .*test_worker_errors"),
    ],
)
def test_an_error_in_our_pipelines_of_ray_data_is_told(
    monkeypatch: pytest.MonkeyPatch, error: Exception, found: type[Exception], text: str
) -> None:
    monkeypatch.setattr(DataContext.get_current(), "raise_original_map_exception", True)

    def fail(batch: object) -> object:
        with carrying_errors():
            raise error

    with pytest.raises(found, match=text), causes_of_task_errors():
        ray.data.range(2).map_batches(fail, num_cpus=0).materialize()


@pytest.mark.parametrize("error", [UserError("a rule"), ValueError("a rule")])
def test_an_error_in_any_pipeline_of_ray_data_is_told(error: Exception) -> None:
    def fail(batch: object) -> object:
        raise error

    with pytest.raises(PretrieveError, match=r"Error: a rule, raised in .*test_worker"), causes_of_task_errors():
        ray.data.range(2).map_batches(fail, num_cpus=0).materialize()


def test_a_wrapper_in_this_process_gives_way_to_its_cause() -> None:
    with pytest.raises(ImageSetError, match="a rule"), causes_of_task_errors():
        raise UserCodeException("UDF failed to process a data block.") from ImageSetError("a rule")
