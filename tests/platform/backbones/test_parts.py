import pytest
import torch

from pretrieve.backbones.parts import BackboneParts, split_at_classifier, take_prefix, without_data_parallel


def _state(*names):
    return {name: torch.full((1,), float(number)) for number, name in enumerate(names)}


def test_a_classifier_is_found_by_its_name_and_the_trunk_keeps_its_keys():
    state = _state("features.0.weight", "classifier.0.weight", "classifier.3.weight", "classifier.3.bias")
    parts = split_at_classifier(state, classifier="classifier.3")
    assert list(parts.trunk) == ["features.0.weight", "classifier.0.weight"]
    assert list(parts.classifier) == ["weight", "bias"]
    assert parts.classifier["bias"] == 3
    assert parts.projector == {}


def test_a_trunk_alone_has_no_classifier():
    state = _state("conv.weight", "fcx.weight")
    assert split_at_classifier(state) == BackboneParts(state)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["module.a", "module.b.c"], ["a", "b.c"]),
        (["module.a", "b"], ["module.a", "b"]),  # the network has a part called module
        (["a", "b"], ["a", "b"]),
        ([], []),
    ],
)
def test_the_prefix_of_data_parallel_is_dropped_where_every_key_has_it(names, expected):
    assert list(without_data_parallel(_state(*names))) == expected


def test_a_trunk_whose_layers_are_called_like_the_parts_is_kept_apart_from_them():
    trunk = _state("projector.weight", "classifier.weight")
    parts = BackboneParts(trunk, _state("weight"), _state("weight", "bias"))
    assert len(parts.joined()) == 5
    assert BackboneParts.of_joined(parts.joined()) == parts


def test_a_prefix_parts_the_keys():
    with_prefix, others = take_prefix(_state("a.x", "b.x", "ab"), "a.")
    assert (list(with_prefix), list(others)) == (["x"], ["b.x", "ab"])
