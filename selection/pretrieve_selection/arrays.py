"""Write an array computation once for NumPy and torch.

Both libraries share the names and arguments used here (`exp`, `log`, `amax`, `sum`, `clip`, `axis`, `out`). A function
therefore only needs the right module in place of `np`.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

ArrayT = TypeVar("ArrayT", "NDArray[np.float64]", "torch.Tensor")
Precision = Literal["float32", "float64"]


def array_namespace(array: Any) -> ModuleType:
    """Return the module, `numpy` or `torch`, whose functions work on this array.

    >>> array_namespace([1.0]).__name__
    'numpy'
    """
    # Importing torch is slow. A caller that passes a tensor has imported it already.
    torch_module = sys.modules.get("torch")
    if torch_module is not None and isinstance(array, torch_module.Tensor):
        return torch_module
    return np


def as_float64(array: Any, *, like: Any) -> Any:
    """Convert to float64; otherwise the same as `as_float`."""
    return as_float(array, like=like, precision="float64")


def as_float(array: Any, *, like: Any, precision: Precision) -> Any:
    """Convert an array, a tensor or nested sequences to the kind (NumPy or torch) and the device of `like`.

    The result has no gradient. The given object itself is returned where nothing has to change.
    """
    xp = array_namespace(like)
    if xp is np:
        return np.asarray(array, dtype=precision)
    return xp.as_tensor(array, dtype=getattr(xp, precision), device=like.device).detach()


def empty_array(shape: tuple[int, ...], *, like: Any, precision: Precision) -> Any:
    """Return an uninitialised array, of the kind (NumPy or torch) and on the device of `like`."""
    xp = array_namespace(like)
    if xp is np:
        return np.empty(shape, dtype=precision)
    return xp.empty(shape, dtype=getattr(xp, precision), device=like.device)
