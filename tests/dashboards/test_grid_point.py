import pytest

from pretrieve_dashboards.load import grid_point


def of_run(num_selected, asked, top_k=None):
    """Parameters of a run that reused so many units of the source, of as many as were asked for."""
    params = {"lr": "0.1", "selection.num_selected": str(num_selected), "selection.top_k": str(asked)}
    return params if top_k is None else params | {"top_k": str(top_k)}


@pytest.mark.parametrize(
    ("params", "top_ks", "top_k"),
    [
        pytest.param(of_run(100, 100, top_k=100), (50, 100), 100, id="of this grid"),
        pytest.param(of_run(100, 100), (50, 100), 100, id="older than the grid"),
        pytest.param(of_run(100, 100), (), None, id="the grid does not vary it"),
        pytest.param(of_run(100, 100, top_k=100), (), None, id="the grid no longer varies it"),
        pytest.param(of_run(59, 100, top_k=100), (60, 100), 60, id="a list of 59 groups, once asked for 100 of it"),
        pytest.param(of_run(59, 59), (60, 100), 60, id="a list of 59 groups, once asked for exactly these"),
        pytest.param(of_run(59, 100), (200, 100), 200, id="the first of the grid, which stands for a list that ended"),
        pytest.param(of_run(50, 50), (100, 50), 50, id="the smaller of a grid in falling order"),
        pytest.param(of_run(300, 300), (50, 100), None, id="of no number of the grid"),
    ],
)
def test_run_stands_for_the_number_of_the_grid_that_gives_its_images(params, top_ks, top_k):
    expected = {"lr": 0.1} if top_k is None else {"lr": 0.1, "top_k": top_k}
    assert grid_point(params, ["lr", "top_k"], top_ks) == expected


def test_run_that_reuses_nothing_has_no_number_of_groups():
    params = {"lr": "0.1", "weight_decay": "0.0001", "head_lr_ratio": "10.0", "source_weight": "None"}
    assert grid_point(params, list(params), (50, 100)) == {"lr": 0.1, "weight_decay": 1e-4, "head_lr_ratio": 10.0}
