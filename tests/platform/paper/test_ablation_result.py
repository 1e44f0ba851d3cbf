from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from pretrieve.paper.ablation_result import Ablation, spread_out
from pretrieve.paper.recall_ablations import recall_over_cost_scale
from pretrieve_selection import SelectionInputError, SelectionSettings


@pytest.fixture
def ablation(lonely_class):
    return recall_over_cost_scale(*lonely_class, [4], cost_scales=[0.01, 0.3], settings=SelectionSettings(top_k=2))


def test_files_are_named_by_the_title_and_nothing_else_is_left(ablation, tmp_path):
    paths = ablation.write(tmp_path / "new" / "folder")
    assert [path.name for path in paths] == [f"recall-over-cost-scale.{suffix}" for suffix in ("csv", "svg", "png")]
    assert sorted((tmp_path / "new" / "folder").iterdir()) == sorted(paths)


def test_the_written_table_reads_back_to_the_digit(ablation, tmp_path):
    table, *_ = ablation.write(tmp_path)
    pd.testing.assert_frame_equal(pd.read_csv(table), ablation.table, check_exact=True)


def test_the_same_ablation_gives_the_same_bytes(ablation, tmp_path):
    first = [path.read_bytes() for path in ablation.write(tmp_path / "first")]
    assert [path.read_bytes() for path in ablation.write(tmp_path / "second")] == first


def test_a_failed_write_leaves_the_old_file_whole(ablation, tmp_path, monkeypatch):
    _, drawing, _ = ablation.write(tmp_path)
    before = drawing.read_bytes(), sorted(tmp_path.iterdir())

    def fail(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="no space left"):
        ablation.write(tmp_path)
    assert (drawing.read_bytes(), sorted(tmp_path.iterdir())) == before


def test_the_drawing_takes_dark_or_light_from_its_reader_and_says_its_numbers(ablation, tmp_path):
    _, drawing, _ = ablation.write(tmp_path)
    text = drawing.read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    assert "prefers-color-scheme: dark" in text
    assert "currentColor" in text
    label = root.get("aria-label")
    assert label.startswith("Recall over cost scale. cost cosine, cost_scale 0.01, recall 1,")


def test_the_picture_is_dark_on_white_whatever_style_matplotlib_is_set_to(lonely_class, tmp_path):
    from matplotlib.image import imread

    with mpl.rc_context({"figure.facecolor": "black", "axes.facecolor": "black", "savefig.facecolor": "auto"}):
        ablation = recall_over_cost_scale(*lonely_class, [0], cost_scales=[0.1], settings=SelectionSettings(top_k=2))
        *_, picture = ablation.write(tmp_path)
    assert np.median(imread(picture)[..., :3]) == 1.0


def test_within_a_page_the_page_decides_the_colours(ablation):
    html = replace(ablation, title="a < b")._repr_html_()
    assert "<h4>a &lt; b</h4>" in html
    assert "<style" not in html
    assert "<table" in html


def test_another_title_names_other_files(ablation, tmp_path):
    paths = replace(ablation, title="Réseau 18: ε_c, supervised!").write(tmp_path)
    assert paths[0].name == "réseau-18-ε-c-supervised.csv"


def test_a_title_that_names_no_file_is_refused(ablation):
    with pytest.raises(SelectionInputError, match=r"title must hold a letter or a digit, .* is ' \.\./ '"):
        Ablation(" ../ ", ablation.table, ablation.figure)


def test_matplotlibs_settings_stay_as_they_were(lonely_class, tmp_path):
    before = dict(mpl.rcParams)
    ablation = recall_over_cost_scale(*lonely_class, [0], cost_scales=[0.1], settings=SelectionSettings(top_k=2))
    ablation.write(tmp_path)
    assert dict(mpl.rcParams) == before


def test_an_ablation_loads_neither_ray_nor_mlflow_nor_pyplot():
    code = (
        "import sys; from pretrieve.paper.recall_ablations import recall_over_cost_scale;"
        "recall_over_cost_scale([[1.0, 0.0]] * 100, [[1.0, 0.0]], [0], cost_scales=[1.0])._repr_html_();"
        "print(sorted({'ray', 'mlflow', 'torch', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_marked_values_are_a_part_of_those_computed_and_keep_their_distance():
    values = np.geomspace(0.001, 10, 17).tolist()
    marked = spread_out(values, most_steps=4)
    np.testing.assert_allclose(marked, [0.001, 0.01, 0.1, 1, 10])
    assert set(marked) <= set(values)
    assert spread_out([5.0], most_steps=4) == [5.0]
