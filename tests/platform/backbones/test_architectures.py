import json
import pickle
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch

from pretrieve.backbones import Preprocessing, architecture_names, find_architecture
from pretrieve.errors import BackboneError

REGISTERED = architecture_names()
RESOLVED = ["mobilenet_v3_small", "shufflenet_v2_x0_5@64", "timm:test_resnet", "efficientnet_lite0@96/104"]
RESOLVED += ["timm:vit_tiny_patch16_dinov3_qkvb?pool=token@32", "timm:test_vit3@64"]
PACKAGES = {"timm:": "timm", "efficientnet_lite0": "efficientnet_lite_pytorch"}


def _param(name):
    missing = [package for start, package in PACKAGES.items() if name.startswith(start) and find_spec(package) is None]
    return pytest.param(name, marks=[pytest.mark.skip(reason=f"{package} is not installed") for package in missing])


FAMILY = [_param(name) for name in [*REGISTERED, *RESOLVED]]


def test_the_documented_networks_are_known():
    documented = {"small_resnet", "resnet18", "resnet34", "resnet50", "moco_resnet50", "efficientnet_lite0"}
    assert documented <= set(REGISTERED)
    assert sorted(REGISTERED) == REGISTERED


def test_listing_the_networks_loads_none_of_the_libraries_they_come_from():
    code = (
        "import sys; from pretrieve.backbones import architecture_names; architecture_names(); "
        "print(sorted({'torchvision', 'timm', 'efficientnet_lite_pytorch'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize(("name", "nearest"), [("mobilenetv3_small", "mobilenet_v3_small"), ("vgg_16", "vgg16")])
def test_the_nearest_word_may_be_any_of_torchvisions(name, nearest):
    with pytest.raises(BackboneError, match=rf"the name of a torchvision .*but is '{name}'\. Did you mean '{nearest}'"):
        find_architecture(name)


@pytest.mark.parametrize("name", FAMILY)
def test_every_process_finds_the_network_by_its_name(name):
    architecture = find_architecture(name)
    assert architecture.name == name
    assert pickle.loads(pickle.dumps(architecture)).build is not None
    assert find_architecture(name).preprocessing == architecture.preprocessing


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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": 40}, r"1 ≤ image_size ≤ resize_size, but image_size is 40 and resize_size 32"),
        ({"image_size": 0}, r"but image_size is 0"),
        ({"mean": (0.5, 0.5)}, r"three means .* but mean is \(0\.5, 0\.5\)"),
        ({"std": (0.5, 0.0, 0.5)}, r"positive deviations, .* std \(0\.5, 0\.0, 0\.5\)"),
    ],
)
def test_preprocessing_that_cannot_be_is_refused(changes, message):
    with pytest.raises(BackboneError, match=message):
        replace(find_architecture("small_resnet").preprocessing, **changes)


@pytest.mark.parametrize("name", FAMILY)
def test_preprocessing_survives_json(name):
    preprocessing = find_architecture(name).preprocessing
    assert Preprocessing.from_dict(json.loads(json.dumps(preprocessing.to_dict()))) == preprocessing


def test_imagenet_networks_are_preprocessed_as_the_paper_says():
    preprocessing = find_architecture("resnet18").preprocessing
    assert (preprocessing.resize_size, preprocessing.image_size) == (256, 224)
    assert preprocessing.mean == pytest.approx((0.485, 0.456, 0.406))
    assert preprocessing.std == pytest.approx((0.229, 0.224, 0.225))
