import pytest

from pretrieve_dashboards import wording


def test_margin_is_given_at_each_number_of_groups(make_selection):
    def shown(margin, **others):
        return wording.margins(
            make_selection("birds", "uot", (4, 2), ("kite", "owl"), (0.5, 0.4), margin=margin, **others)
        )

    assert shown(0.25, margins={2: 0.25}) == ("0.25",)
    assert shown(None, margins={1: 0.1, 2: None}) == ("K 1: 0.1", "K 2: all chosen")
    assert shown(None) == ("all chosen",)
    assert shown(None, ranks=(9, 10)) == ("none follows",)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0.0 s"), (59.94, "59.9 s"), (59.96, "1 min 00 s"), (3599.6, "1 h 00 min"), (7502, "2 h 05 min")],
)
def test_duration_never_says_60(seconds, text):
    assert wording.duration(seconds) == text


def test_hyperparameters_keep_unknown_ones_and_leave_out_what_is_asked():
    assert wording.hyperparameters({"momentum": 0.9, "lr": 1e-5, "weight_decay": 0.00025}) == (
        "lr 1e-5, wd 2.5e-4, momentum 0.9"
    )
    assert wording.hyperparameters(None) == "—"
