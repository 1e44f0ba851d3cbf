"""Each record survives its file, and what another version or another hand wrote is refused by name."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrieve.errors import UserError
from pretrieve.records import (
    AuditRecord,
    PlannedCell,
    PlanRecord,
    SelectionRecord,
    StudyRecord,
    TargetRecord,
    codec,
)
from pretrieve.records.codec import check_version, from_json, to_json
from pretrieve.records.forecast import FORECAST_FILE, Forecast
from pretrieve.study.walk import make_folder

LEAVES: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**53), 2**53),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: st.text(max_size=5),
    bool: st.booleans(),
    type(None): st.none(),
}
JSON = st.recursive(
    st.one_of(*LEAVES.values()),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Return what makes values of a type that records use."""
    if kind in LEAVES:
        return LEAVES[kind]
    if kind in (Any, object):
        return JSON
    if dataclasses.is_dataclass(kind):
        return records_of(typing.cast("type[Any]", kind))
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return st.sampled_from(inner)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*map(values_of, inner))
    if origin is Mapping:
        return st.dictionaries(*map(values_of, inner), max_size=2)
    assert origin is tuple, kind
    if inner[1:] == (...,):
        return st.lists(values_of(inner[0]), max_size=2).map(tuple)
    return st.tuples(*map(values_of, inner))


def records_of(kind: type[Any]) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(kind)
    fields = {field.name: values_of(hints[field.name]) for field in dataclasses.fields(kind)}
    if kind is not SelectionRecord:
        return st.builds(kind, **fields)
    columns = {name: values_of(hints[name].__args__[0]) for name in ("groups", "names", "scores", "ranks")}
    rows = st.lists(st.tuples(*columns.values()), max_size=3)

    def of_rows(rows: list[tuple[Any, ...]]) -> st.SearchStrategy[Any]:
        listed = zip(*rows, strict=True) if rows else ((),) * len(columns)
        return st.builds(kind, **fields | dict(zip(columns, map(st.just, listed), strict=True)))

    return rows.flatmap(of_rows)


def through_a_file(record: codec.RecordT) -> codec.RecordT:
    return from_json(type(record), json.loads(json.dumps(to_json(record), allow_nan=False)), "file.json")


@pytest.mark.parametrize("kind", [PlanRecord, SelectionRecord, AuditRecord, Forecast, StudyRecord])
def test_a_record_is_the_same_after_its_file(kind: type[Any]) -> None:
    @settings(deadline=None, max_examples=30)
    @given(records_of(kind))
    def check(record: Any) -> None:
        assert through_a_file(record) == record

    check()


PLAN = PlanRecord(
    backbone="small_resnet",
    settings={"grid": {"top_k": [5, 10]}},
    methods=("finetune", "uot"),
    targets=(TargetRecord("birds", "top1", 3, {"train": 9}),),
    cells=(PlannedCell("birds", "uot", ("k1",), 2),),
)
WRITTEN = to_json(PLAN)


def test_a_file_carries_name_and_version_of_its_record() -> None:
    assert (WRITTEN["record"], WRITTEN["version"]) == ("plan", PlanRecord.VERSION)
    assert PLAN.top_ks == (5, 10)
    assert PlanRecord("x", {"grid": {"top_k": None}}, (), (), ()).top_ks == PlanRecord("x", {}, (), (), ()).top_ks == ()


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in WRITTEN.items() if name not in names}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            without("record", "version"),
            "plan.json was written by version 0.1, .* run the study again in a fresh folder",
        ),
        (WRITTEN | {"version": 0}, r"plan.json was written by another version \(the record's is 0, and must be 1\)"),
        (WRITTEN | {"version": 2}, r"plan.json was written by another version \(the record's is 2, and must be 1\)"),
        (without("version"), r"another version \(the record's is None"),
        (WRITTEN | {"record": "audit"}, "plan.json must hold the record 'plan', but does not"),
        ([1], "plan.json must hold the record 'plan', but does not"),
        (without("methods"), r"but methods is .*: Field required; run the study again"),
        (WRITTEN | {"methods": "uot"}, "but methods is 'uot': Input should be a valid array"),
        (WRITTEN | {"backbone": None}, "but backbone is None: Input should be a valid string"),
        (
            WRITTEN | {"cells": [{"target": "a", "method": "b", "trial_keys": [], "num_trials": "2"}]},
            "but cells.0.num_trials is '2': Input should be a valid integer",
        ),
    ],
)
def test_what_is_no_such_record_is_refused_with_file_field_and_rule(data: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        from_json(PlanRecord, data, "plan.json")


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(UserError) as raised:
        from_json(PlanRecord, WRITTEN | {"methods": "x" * 10_000}, "plan.json")
    assert len(str(raised.value)) < 400


def selection(**changes: Any) -> SelectionRecord:
    fields: dict[str, Any] = {
        "target": "birds",
        "method": "uot",
        "unit": "class",
        "groups": (7, 1),
        "names": ("kite", "owl"),
        "scores": (0.5, 0.25),
        "masses": None,
        "ranks": (201, 202),
        "num_selected": 40,
        "num_units": 1000,
        "num_images": 400,
        "classes": {"kite": 10},
        "margin": None,
        "margins": {20: 0.125, 40: None},
        "converged": True,
        "iterations": 12,
        "num_shared": {"random": 3},
        "recall": None,
    }
    return SelectionRecord(**fields | changes)


def test_selection_whose_lists_differ_in_length_is_neither_made_nor_read() -> None:
    with pytest.raises(ValueError, match="groups, names, scores and ranks differ in length"):
        selection(names=("kite",))
    with pytest.raises(UserError, match=r"uot\.json .* groups, names, scores and ranks differ in length"):
        from_json(SelectionRecord, to_json(selection()) | {"ranks": [3]}, "uot.json")


def test_a_newer_field_is_asked_for_and_a_figure_is_no_text() -> None:
    class Later(SelectionRecord):
        VERSION: ClassVar = 2

    with pytest.raises(UserError, match="must be 2"):
        check_version(Later, to_json(selection()), "uot.json")
    with pytest.raises(UserError, match=r"but scores\.0 is '0\.5': Input should be a valid number"):
        from_json(SelectionRecord, to_json(selection()) | {"scores": ["0.5", 0.25]}, "uot.json")


@pytest.mark.parametrize("name", ["plan.json", FORECAST_FILE])
def test_a_folder_that_version_0_1_left_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(json.dumps({"study": "s", "cells": []}), encoding="utf-8")
    with pytest.raises(UserError, match=rf"{name} was written by version 0\.1, .* \(or under another name\)"):
        make_folder(tmp_path)


def test_a_folder_of_this_version_or_with_a_damaged_record_is_taken(tmp_path: Path) -> None:
    make_folder(tmp_path / "new")
    (tmp_path / "plan.json").write_text(json.dumps(WRITTEN), encoding="utf-8")
    (tmp_path / FORECAST_FILE).write_bytes(b"{\xff")
    make_folder(tmp_path)


@pytest.mark.parametrize(("method", "ranks"), [("uot", True), ("nearest", True), ("random", False), ("label", False)])
def test_a_selection_from_before_the_field_says_whether_it_ranks_by_similarity(method: str, ranks: bool) -> None:
    written = to_json(selection(method=method))
    assert written.pop("ranks_by_similarity") is ranks
    assert from_json(SelectionRecord, written, "selection.json").ranks_by_similarity is ranks
    assert (
        from_json(SelectionRecord, written | {"ranks_by_similarity": not ranks}, "s").ranks_by_similarity is not ranks
    )
