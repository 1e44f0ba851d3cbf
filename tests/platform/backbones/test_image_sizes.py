import pytest

from pretrieve.backbones import at_image_size, find_architecture
from pretrieve.backbones.backbone import identify
from pretrieve.errors import BackboneError

RESNET18 = find_architecture("resnet18")


@pytest.mark.parametrize(
    ("sizes", "name", "expected"),
    [
        ((96, None), "resnet18@96", (110, 96)),
        ((96, 104), "resnet18@96/104", (104, 96)),
        ((96, 110), "resnet18@96", (110, 96)),  # what the ratio would give
        ((None, 240), "resnet18@224/240", (240, 224)),
        ((448, None), "resnet18@448", (512, 448)),
        ((None, None), "resnet18", (256, 224)),
        ((224, 256), "resnet18", (256, 224)),
    ],
)
def test_another_size_has_a_name_that_finds_it_again(sizes, name, expected):
    resized = at_image_size(RESNET18, *sizes)
    assert resized.name == name
    assert (resized.preprocessing.resize_size, resized.preprocessing.image_size) == expected
    assert find_architecture(name) == resized
    assert (resized.preprocessing.mean, resized.build) == (RESNET18.preprocessing.mean, RESNET18.build)


def test_two_spellings_of_a_size_are_one_architecture():
    assert find_architecture("resnet18@96/110") == find_architecture("resnet18@96")
    assert find_architecture("resnet18@224") is RESNET18


def test_another_size_is_another_backbone():
    names = ["small_resnet", "small_resnet@16", "small_resnet@32/40", "small_resnet@16/20"]
    state = find_architecture("small_resnet").build().state_dict()
    assert len({identify(find_architecture(name), state) for name in names}) == len(names)


def test_a_network_without_margin_keeps_none():
    preprocessing = find_architecture("small_resnet@48").preprocessing
    assert (preprocessing.resize_size, preprocessing.image_size) == (48, 48)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("resnet18@96/64", "image_size is 96 and resize_size 64"),
        ("resnet18@0", "image_size is 0"),
        ("resnet18@96@64", r"given once, but 'resnet18@96' has one already"),
        ("resnet_18@96", r"but is 'resnet_18'\. Did you mean 'resnet18'"),
        ("resnet18@", r"but is 'resnet18@'\. Did you mean 'resnet18'"),
        ("resnet18@big", r"but is 'resnet18@big'"),
    ],
)
def test_a_size_that_cannot_be_is_refused(name, reason):
    with pytest.raises(BackboneError, match=reason):
        find_architecture(name)
