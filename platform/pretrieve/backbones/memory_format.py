"""The order of a network's weights in memory: channels-last where that gives the right result, else torch's own order.

Channels-last convolutions are a fifth to a third faster on a CPU, and fastest on the tensor cores of a GPU. But not all
networks can have them: torch refuses to convert weights of five dimensions; code that views a map of activations as
rows meets another order; and on a CPU oneDNN writes past its memory for strided 1 × 1 convolutions of few channels,
which kills the process or changes gradients.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pretrieve.backbones.evaluation_mode import predicting
from pretrieve.errors import in_words

MIN_STRIDED_CHANNELS = 16
"""Input channels of a strided 1 × 1 convolution below which oneDNN fails on channels-last; 2 to 15 were seen to."""

UNKNOWN_STRIDE = 2

NUM_IMAGES = 2

TOLERANCE = 0.25
"""How far the two orders' results may differ, as a share of the largest value of each tensor.

Rounding may switch a ReLU, which moves a gradient by hundredths."""

NOISE = 1e-4
"""Gradients below this share of the network's largest are not compared by their own size."""

logger = logging.getLogger(__name__)


def use_fastest_format(network: nn.Module, image_size: int) -> str | None:
    """Convert a network to channels-last if that is right for it; else keep torch's own order and log why.

    A network that keeps torch's order gets its images in that order too, whatever the order that they come in.

    Args:
      network: (N, 3, image_size, image_size) float32 → (N, D). Its values, modes and gradients stay as they are.
      image_size: side of its images in pixels.

    Returns:
      Why it keeps torch's order; None if it is channels-last now.

    Raises:
      Exception: the network's own, if it cannot map two images to features.
    """
    reason = fault_of_channels_last(network, image_size)
    if reason is not None:
        network.to(memory_format=torch.contiguous_format)
        network.register_forward_pre_hook(_in_own_order)
        logger.warning("the network trains in torch's own order of memory, not channels-last: %s", reason)
    return reason


def _in_own_order(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(each.contiguous() if isinstance(each, Tensor) else each for each in inputs)


def fault_of_channels_last(network: nn.Module, image_size: int) -> str | None:
    """Return why a network must not be channels-last; None where it may, and then it has been converted.

    What its tensors and convolutions rule out is not tried. Else it computes two images in both orders.
    """
    named = [*network.named_parameters(), *network.named_buffers()]
    # torch converts tensors of four dimensions, refuses those of five, and leaves all others alone.
    refused = [name for name, tensor in named if tensor.dim() == 5]
    if refused:
        return f"{refused[0]} has five dimensions"
    device = next((tensor.device for _, tensor in named), torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(NUM_IMAGES, 3, image_size, image_size, generator=generator).to(device)
    # In evaluation mode a pass changes no statistics.
    with predicting(network), torch.random.fork_rng(devices=[] if device.type == "cpu" else [device]):
        with _Convolutions() as convolutions:
            plain = _features_and_gradients(network, images)
        narrow = convolutions.narrow or _narrow_modules(network)
        if device.type == "cpu" and narrow:
            return f"it has a strided 1 × 1 convolution of {narrow[0]} channels, for which oneDNN fails on a CPU"
        network.to(memory_format=torch.channels_last)
        try:
            converted = _features_and_gradients(network, images.contiguous(memory_format=torch.channels_last))
        except torch.OutOfMemoryError:
            raise
        except Exception as fault:  # whatever a network's own code raises
            return f"it raises {in_words(fault)}"
    # Gradients that vanish in exact arithmetic, as those of a bias before a softmax, are rounding alone.
    smallest = NOISE * max((float(each.abs().max()) for each in plain[1:] if each.numel()), default=0.0)
    if not all(_is_close(*pair, smallest) for pair in zip(plain, converted, strict=True)):
        return "its features or gradients differ"
    return None


def _features_and_gradients(network: nn.Module, images: Tensor) -> list[Tensor]:
    """Return features and, where gradients are enabled, those of the weights that learn; `.grad` stays as it is."""
    torch.manual_seed(0)
    features: Tensor = network(images)
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if not (features.requires_grad and learning):
        return [features]
    gradients = torch.autograd.grad(features.square().mean(), learning, allow_unused=True)
    return [features.detach(), *(each.to_dense() for each in gradients if each is not None)]


def _is_close(first: Tensor, second: Tensor, smallest: float) -> bool:
    largest = max(float(first.abs().max()), smallest) if first.numel() else 0.0
    # Fresh weights of a deep network may overflow in either order.
    return bool(((first - second).abs() <= TOLERANCE * largest).all()) or not bool(first.isfinite().all())


def _narrow_modules(network: nn.Module) -> list[int]:
    """Return the channels of the convolutions that oneDNN fails for; a pass in evaluation mode may leave some out."""
    found = [
        module.weight.shape[1]
        for module in network.modules()
        if isinstance(module, nn.Conv2d) and _is_narrow(module.weight, module.stride)
    ]
    # Compiled code does not show the strides of its convolutions.
    compiled = [module for module in network.modules() if isinstance(module, torch.jit.ScriptModule)]
    return found + [
        each.shape[1] for module in compiled for each in module.parameters() if _is_narrow(each, UNKNOWN_STRIDE)
    ]


def _is_narrow(weight: Tensor, stride: int | Sequence[int]) -> bool:
    is_pointwise = weight.dim() == 4 and tuple(weight.shape[2:]) == (1, 1)
    is_strided = (stride if isinstance(stride, int) else max(stride)) > 1
    return is_pointwise and is_strided and weight.shape[1] < MIN_STRIDED_CHANNELS


class _Convolutions(TorchFunctionMode):
    """Notes the channels of each convolution that oneDNN fails for, also where it is no module of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow: list[int] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.conv2d, torch.convolution):
            weight = kwargs["weight"] if "weight" in kwargs else args[1]
            stride = args[3] if len(args) > 3 else kwargs.get("stride", 1)
            if _is_narrow(weight, stride):
                self.narrow.append(weight.shape[1])
        return func(*args, **kwargs)
