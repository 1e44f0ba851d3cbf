import pytest

from pretrieve_selection import (
    IMAGENET_BIRD_CLASSES,
    IMAGENET_DOG_CLASSES,
    Selection,
    SelectionInputError,
    recall_at_k,
)


@pytest.fixture
def selection() -> Selection:
    return Selection.from_scores("uot", [5.0, 4.0, 3.0, 2.0], top_k=2)


@pytest.mark.parametrize(("expected_ids", "recall"), [([0], 1.0), ([3], 0.0), ([1, 2], 0.5), ([0, 1, 3, 3, 3], 2 / 3)])
def test_recall_is_the_share_of_expected_groups_selected(selection, expected_ids, recall):
    assert recall_at_k(selection, expected_ids) == pytest.approx(recall)


def test_nothing_expected_is_an_error(selection):
    with pytest.raises(SelectionInputError, match="at least one group"):
        recall_at_k(selection, [])


@pytest.mark.parametrize("group", [-1, 4])
def test_expected_group_that_the_source_does_not_have_is_an_error(selection, group):
    with pytest.raises(SelectionInputError, match=f"from 0 to 3, but {group} is not"):
        recall_at_k(selection, [0, group])


def test_imagenet_has_59_birds_and_118_dogs(load_class_means):
    names = load_class_means("resnet18_supervised", "cub").source_names
    assert len(set(IMAGENET_BIRD_CLASSES)) == 59
    assert len(set(IMAGENET_DOG_CLASSES)) == 118
    for classes, first, last in (
        (IMAGENET_BIRD_CLASSES, "cock", "albatross"),
        (IMAGENET_DOG_CLASSES, "Chihuahua", "Mexican hairless"),
    ):
        assert first in names[classes[0]]
        assert last in names[classes[-1]]
