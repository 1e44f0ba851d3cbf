import json

import pytest
import torch

from pretrieve.backbones import Preprocessing, architecture_names, find_architecture
from pretrieve.errors import BackboneError

FAMILY = architecture_names()


def test_the_documented_networks_are_known():
    assert {"small_resnet", "resnet18", "resnet34", "resnet50"} <= set(FAMILY)
    assert sorted(FAMILY) == FAMILY


def test_an_unknown_network_is_refused_with_the_nearest_word():
    with pytest.raises(
        BackboneError, match=r"must be one of .*resnet50.*, but is 'resnet_18'\. Did you mean 'resnet18'"
    ):
        find_architecture("resnet_18")


@pytest.mark.parametrize("name", FAMILY)
def test_a_network_maps_images_of_its_size_to_features_of_its_length(name):
    architecture = find_architecture(name)
    size = architecture.preprocessing.image_size
    network = architecture.build().eval()
    with torch.inference_mode():
        features = network(torch.randn((2, 3, size, size), generator=torch.Generator().manual_seed(0)))
    assert features.shape == (2, architecture.feature_dim)
    assert features.dtype == torch.float32
    assert not torch.equal(features[0], features[1])


@pytest.mark.parametrize("name", FAMILY)
def test_the_global_generator_decides_the_first_weights(name):
    def build(seed):
        torch.manual_seed(seed)
        return torch.cat([parameter.detach().flatten() for parameter in find_architecture(name).build().parameters()])

    with torch.random.fork_rng():
        first, same, other = build(0), build(0), build(1)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", FAMILY)
def test_the_image_fits_into_the_cached_square(name):
    preprocessing = find_architecture(name).preprocessing
    assert 0 < preprocessing.image_size <= preprocessing.resize_size


@pytest.mark.parametrize("name", FAMILY)
def test_preprocessing_survives_json(name):
    preprocessing = find_architecture(name).preprocessing
    assert Preprocessing.from_dict(json.loads(json.dumps(preprocessing.to_dict()))) == preprocessing


def test_imagenet_networks_are_preprocessed_as_the_paper_says():
    preprocessing = find_architecture("resnet18").preprocessing
    assert (preprocessing.resize_size, preprocessing.image_size) == (256, 224)
    assert preprocessing.mean == pytest.approx((0.485, 0.456, 0.406))
    assert preprocessing.std == pytest.approx((0.229, 0.224, 0.225))
