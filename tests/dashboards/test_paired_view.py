from dataclasses import replace
from xml.etree import ElementTree

import pytest

from pretrieve_dashboards.views.paired import Paired, baseline_of, unpaired

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def compared(finished_study, make_trial):
    """On birds uot adds 1, 3 and 2 points, 2 ± 4.3027/√3; on the other target it loses 5 with each of two seeds."""
    scores = {
        ("birds", "finetune"): (0.5, 0.5, 0.5),
        ("birds", "uot"): (0.51, 0.53, 0.52),
        ("other", "finetune"): (0.4, 0.4),
        ("other", "uot"): (0.35, 0.35),
    }
    cells = []
    for cell in finished_study.cells:
        target = "birds" if cell.target == "birds" else "other"
        pairs = enumerate(scores[target, cell.method])
        refits = tuple(make_trial(f"{seed}", kind="refit", seed=seed, score=score) for seed, score in pairs)
        cells.append(replace(cell, refits=refits))
    return replace(finished_study, cells=tuple(cells))


def test_differences_are_listed_with_sign_interval_and_run(compared):
    table = Paired().table(compared)
    hostile = compared.targets[1].name
    assert (baseline_of(compared), unpaired(compared)) == ("finetune", [])
    assert [[row[0].text, row[3].text, row[3].is_best, row[3].run_id] for row in table.rows] == [
        ["birds", "+2.0 ± 2.5", False, "cell-birds-uot"],
        [hostile, "-5.0, -5.0", False, f"cell-{hostile}-uot"],
        ["average", "-2.0, -1.0", False, None],
    ]


def test_figure_has_a_row_a_difference_and_cuts_intervals_that_would_hide_it(compared):
    (figure,) = Paired().figures(compared)
    root = ElementTree.fromstring(figure.svg)
    words = {"".join(node.itertext()) for node in root.iter(f"{SVG}text")}
    assert {"birds · uot", "average · uot", "0"} <= words
    assert len(list(root.iter(f"{SVG}circle"))) == 3
    assert "birds, uot +2.0 ± 2.5 over 3 seeds" in root.get("aria-label")


def test_unfinished_study_names_the_pairs_without_a_seed_in_common(unfinished_study, finished_study):
    hostile = unfinished_study.targets[1].name
    assert not Paired().applies(unfinished_study)
    assert unpaired(unfinished_study) == ["birds · uot", f"{hostile} · uot"]
    first, second, third, fourth = finished_study.cells
    half = replace(finished_study, cells=(first, second, third, replace(fourth, refits=())))
    assert Paired().applies(half)
    assert Paired().note(half) == f"No seed in common yet: {hostile} · uot."


def test_study_without_plain_fine_tuning_compares_with_its_first_method(compared):
    assert baseline_of(replace(compared, methods=("uot", "random"))) == "uot"
    assert Paired().heading(compared) == "What each method adds to finetune"
