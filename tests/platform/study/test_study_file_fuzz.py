"""Study files with anything in them: a study's settings, or one clean error; never a hang, never code."""

from __future__ import annotations

import copy
import math
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from fuzzing import harmless, num_cases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pretrieve.demo import STUDY_FILE
from pretrieve.errors import UserError
from pretrieve.study.settings import StudySettings
from pretrieve.study.study_file import load_study_file

NUM_CASES = num_cases(60)
SECONDS_EACH = 10
OWN_TARGET = Path(__file__).resolve().parents[3] / "jobs" / "studies" / "own_target.yaml"
TEXTS = [path.read_text(encoding="utf-8") for path in (OWN_TARGET, STUDY_FILE)]

ODD_VALUES: list[Any] = [
    None, True, "", "~nobody-here/x", "\0", "a\nb", "😀", "\ud800", "x" * 5_000, "../..", "/", "-1", "NaN",
    float("nan"), math.inf, -math.inf, 0, -1, 10**30, 10**400, 1e-320, 2**63, [], {}, [[]], [None], {"": {}}, {1: 2},
    {"folder": "."}, {"registered": "digits"}, {"name": "small_resnet", "pretrain": {}}, ["digits"] * 3, b"\xff",
]  # fmt: skip
ODD_TEXTS = [
    "!!python/object/apply:os.mkdir [{marker}]", "!!python/name:os.system ''", "!!binary '??'", "!!int x", "!!bool x",
    "!!timestamp x", "!!set {a, a}", "!!omap [a]", "2024-99-99", "9" * 5_000, "&a [*a]", "*none", "{[a]: 1}", "<<: 1",
    "[" * 2_000, "{a: " * 500, "'", "\t", "? ", "---\na: 1\n---\nb: 2", "%YAML 9.9", "\x07", "1:99:99", "!x y",
]  # fmt: skip
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
FIELDS = [
    "name",
    "source",
    "targets",
    "backbone",
    "methods",
    "selection",
    "grid",
    "training",
    "refit",
    "compute",
    "seed",
]


def places_in(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value."""
    yield path
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places_in(inner, (*path, key))


def mutated_tree(text: str, rng: random.Random) -> bytes:
    """Replace, add, rename or remove values of a study."""
    tree = yaml.safe_load(text)
    for _ in range(rng.randint(1, 4)):
        places = [place for place in places_in(tree) if place]
        if not places:
            break
        *way, key = rng.choice(places)
        parent = tree
        for step in way:
            parent = parent[step]
        kind = rng.choice(("replace", "replace", "replace", "remove", "add", "nest"))
        odd = copy.deepcopy(rng.choice(ODD_VALUES))  # a later mutation may write into it
        if kind == "remove":
            del parent[key]
        elif kind == "add" and isinstance(parent, dict):
            parent[rng.choice([f"{key}s", "", "\ud800", 3, None, "__class__", *FIELDS])] = odd
        elif kind == "nest":
            for _ in range(rng.randint(1, 50)):
                parent[key] = rng.choice(([parent[key]], {key: parent[key]}))
        else:
            parent[key] = odd
    return yaml.safe_dump(tree, allow_unicode=rng.random() < 0.5).encode("utf-8", "surrogatepass")


def mutated_text(text: str, rng: random.Random, marker: Path) -> bytes:
    """Put odd YAML behind fields, or in place of anything."""
    lines = text.splitlines()
    for _ in range(rng.randint(1, 3)):
        row = rng.randrange(len(lines))
        odd = rng.choice(ODD_TEXTS).replace("{marker}", str(marker))
        head = lines[row].partition(":")[0] + ": " if rng.random() < 0.7 else ""
        lines[row] = head + odd
    return ("\n".join(lines) + ("\n" + BOMB if rng.random() < 0.1 else "")).encode()


def mutated_bytes(text: str, rng: random.Random) -> bytes:
    """Flip, cut and insert bytes."""
    content = bytearray(text.encode())
    for _ in range(rng.randint(1, 20)):
        place = rng.randrange(len(content))
        kind = rng.randrange(3)
        if kind == 0:
            content[place] = rng.randrange(256)
        elif kind == 1:
            content[place:place] = rng.choice(
                [b"\xff\xfe", b"\x00", b"&a ", b"*a", b"!!", b"{", b"[", b"\xed\xa0\x80", b": "]
            )
        else:
            del content[place : place + rng.randrange(40)]
    return bytes(content)


def odd_override(rng: random.Random) -> str:
    """Write a word of --set, mostly a wrong one."""
    path = rng.choice(
        [*FIELDS, "grid.lr", "selection.cost", "targets.0", "backbone.pretrain.epochs", "", ".", "a..b", "="]
    )
    value = rng.choice([*ODD_TEXTS, "1", "[0.1]", "{}", "nan", "1e400", BOMB, "{a: *b}", "\ud800"])
    return rng.choice([f"{path}={value}", path, f"{path}={path}={value}"]).replace("{marker}", "x")


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """End what hangs."""

    def end(*_: object) -> None:
        raise AssertionError(f"no answer within {seconds} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def answer(path: Path, overrides: list[str] | None = None) -> StudySettings | str:
    """Read a study; return its settings or the message of its clean error."""
    with at_most(SECONDS_EACH):
        try:
            return load_study_file(path, overrides=overrides or [])
        except UserError as error:
            message = str(error)
            message.encode()  # a terminal can show it
            assert message.strip()
            assert len(message) < 60_000
            return message


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    def write_bytes(content: bytes) -> Path:
        (tmp_path / "study.yaml").write_bytes(content)
        return tmp_path / "study.yaml"

    return write_bytes


@settings(
    max_examples=NUM_CASES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 2**32), kind=st.sampled_from(("tree", "tree", "text", "bytes", "overrides")))
def test_any_file_is_a_study_or_one_clean_error(
    write: Callable[[bytes], Path], tmp_path: Path, seed: int, kind: str
) -> None:
    rng = random.Random(seed)
    text, marker = rng.choice(TEXTS), tmp_path / "made-by-yaml"
    content = {
        "tree": lambda: mutated_tree(text, rng),
        "text": lambda: mutated_text(text, rng, marker),
        "bytes": lambda: mutated_bytes(text, rng),
        "overrides": text.encode,
    }[kind]()
    overrides = [odd_override(rng) for _ in range(rng.randint(1, 3))] if kind == "overrides" else []
    path = write(content)
    with harmless(tmp_path):
        found = answer(path, overrides)
    assert isinstance(found, StudySettings | str)
    assert not marker.exists()


def test_the_mutations_reach_both_ends(write: Callable[[bytes], Path]) -> None:
    rng = random.Random(0)
    answers = [answer(write(mutated_tree(TEXTS[1], rng))) for _ in range(40)]
    assert any(isinstance(found, StudySettings) for found in answers)
    assert any("fault" in found for found in answers if isinstance(found, str))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "it must have no anchors and aliases, but has &a0 in line 1; write the value out in each place"),
        ("a: 1\nb: [1, *a]", "it must have no anchors and aliases, but has \\*a in line 2"),
        ("a: " + "[" * 3_000, "it must be at most 40 lists and mappings deep; write it flatter"),
        ("a: " + "9" * 5_000, "a value cannot be made: Exceeds the limit"),
        ("a: 2024-99-99", "a value cannot be made: month must be in"),
        ("a: !!bool x", "a value cannot be made: 'x'"),
        ("a: !!python/object/apply:os.getcwd []", "could not determine a constructor for the tag"),
    ],
    ids=["bomb", "alias", "deep", "digits", "date", "bool", "python"],
)
def test_yaml_that_no_settings_can_be_is_refused_at_once(
    write: Callable[[bytes], Path], text: str, message: str
) -> None:
    with pytest.raises(UserError, match=rf"study\.yaml must be YAML, but: {message}"):
        load_study_file(write(text.encode()))


def test_a_bomb_in_an_override_is_refused(write: Callable[[bytes], Path]) -> None:
    with pytest.raises(UserError, match=r"the value of --set .* must be YAML, but: it must have no anchors"):
        load_study_file(write(TEXTS[1].encode()), overrides=[f"grid={BOMB}"])


def test_a_file_of_another_kind_is_refused_by_its_size_or_its_bytes(write: Callable[[bytes], Path]) -> None:
    with pytest.raises(UserError, match=r"a study file must have at most 1,048,576 bytes, but .* has 1,048,577"):
        load_study_file(write(b" " * (1024**2 + 1)))
    with pytest.raises(UserError, match="must be YAML, but: 'utf-8' codec can't decode"):
        load_study_file(write(b"\xff\xd8\xff\xe0"))


def test_an_anchor_is_refused_with_its_line(write: Callable[[bytes], Path]) -> None:
    text = TEXTS[1].replace("augmentation: {", "augmentation: &views {", 1)
    line = text[: text.index("&views")].count("\n") + 1
    with pytest.raises(UserError, match=rf"has &views in line {line}; write the value out in each place"):
        load_study_file(write(text.encode()))
    with pytest.raises(UserError, match="has &n in line 1; write the value out"):
        load_study_file(write(TEXTS[1].encode()), overrides=["training={epochs: &n 3, batch_size: 32}"])


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("storage=~nobody-of-this-name/x", "storage = .*: must be a path that can be followed, but: Could not"),
        ('storage="\\0"', "storage: must be a folder's path, but holds a NUL character"),
        (
            "source={folder: ~nobody-of-this-name/x}",
            "source.folder = .*: must be a path that can be followed, but: Could not",
        ),
        (f"source={{folder: {'a' * 5_000}}}", "source.folder = .* … .*"),
    ],
    ids=["home of nobody", "nul", "folder of nobody", "long"],
)
def test_paths_that_no_system_follows_are_faults(write: Callable[[bytes], Path], override: str, fault: str) -> None:
    with pytest.raises(UserError, match=fault):
        load_study_file(write(TEXTS[1].encode()), overrides=[override])
