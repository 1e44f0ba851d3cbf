import pytest
import torch

from pretrieve.backbones.small_resnet import ResidualBlock, SmallResNet


@pytest.mark.parametrize("stride", [1, 2])
def test_a_block_without_its_convolutions_is_its_shortcut(stride):
    block = ResidualBlock(8, 8 * stride, stride).eval()
    torch.nn.init.zeros_(block.conv2.weight)
    images = torch.randn((2, 8, 6, 6), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(block(images), block.shortcut(images).relu())
        assert block(images).shape == (2, 8 * stride, 6 // stride, 6 // stride)


def test_the_feature_is_the_average_of_the_last_map():
    network = SmallResNet().eval()
    images = torch.randn((2, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        last_map = network.stages(network.stem(images))
        assert last_map.shape == (2, 64, 4, 4)
        torch.testing.assert_close(network(images), last_map.mean(dim=(2, 3)))


def test_every_parameter_gets_a_gradient():
    network = SmallResNet()
    network(torch.randn((4, 3, 32, 32), generator=torch.Generator().manual_seed(0))).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())
