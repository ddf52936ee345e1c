"""`to_torch`: a module of PyTorch from a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.core.activation import Activation
from laminet.core.floating_point import silent
from laminet.core.layers.dense import Dense
from laminet.core.layers.dropout import Dropout
from laminet.core.layers.norms import LayerNorm, RMSNorm
from laminet.core.layers.parallel import Parallel
from laminet.core.layers.rescale import Rescale
from laminet.core.layers.residual import Residual
from laminet.core.layers.select import Select
from laminet.interop.layer_kinds import of_kind
from laminet.interop.pytorch.activations import CLASS_OF

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from laminet.core.layers.layer import Layer
    from laminet.core.mlp import MLP

__all__ = ["to_torch"]


@silent
def to_torch(net: MLP) -> Any:
    """Return a ``torch.nn.Sequential`` that computes what a network does.

    Parameters
    ----------
    net : MLP

    Returns
    -------
    torch.nn.Sequential
        ``Linear`` layers, activations and norms, a ``Dropout`` for a dropout, and a ``Softmax`` or
        ``LogSoftmax`` over the last dimension for a head; parameters of the network's dtype,
        copied, on the CPU, with gradients. Its ``in_features`` is the network's, and where nothing
        has the dtype an empty buffer does. It is in evaluation mode: ``module.train()`` before
        training it. `laminet.from_torch` makes an equal network of a chain, but that a module has
        no place for what the outputs stand for and for names of features: give it
        ``outputs=net.outputs``.

    Raises
    ------
    TypeError
        If `net` is not an MLP.

    Notes
    -----
    For layers that PyTorch has no module for there are small ones in
    ``laminet.interop.pytorch.layers``: `Residual`, `Parallel`, `Rescale`, `Select`, sin, gated and
    parameters by unit (of leaky_relu ``torch.nn.PReLU``, which takes samples as rows of a matrix).
    To unpickle a module with one of them takes laminet; its ``state_dict`` does not. The numbers of
    a `Rescale` are buffers, parameters by unit are trained.

    A module computes in the network's dtype. Of `precision` "bfloat16_weights" or "bfloat16" it has
    the rounded weights, so that ``with_precision`` of what `laminet.from_torch` makes of it gives
    an equal network; what "bfloat16" rounds besides the module does not.

    PyTorch's hard sigmoid has no parameters: after a dense layer one with others than 1/6 and 1/2
    is folded into it (in float64, rounded once), and ``Hardtanh(0, 1)`` follows.

    Examples
    --------
    >>> import torch, laminet as ln
    >>> net = ln.MLP([ln.Dense([[1.0, -1.0]], activation="relu"), ln.Residual([ln.Dense([[2.0]])])])
    >>> ln.to_torch(net)(torch.tensor([[3.0, 1.0]], dtype=torch.float64)).tolist()
    [[6.0]]
    """
    import torch

    from laminet.core.mlp import MLP

    if not isinstance(net, MLP):
        raise TypeError(f"net must be an MLP, got {type(net).__name__}")
    modules = _series(net.layers, net.in_features, net.dtype)
    if net.head is not None:
        head = torch.nn.Softmax if net.head == "softmax" else torch.nn.LogSoftmax
        modules.append(head(dim=-1))
    module = torch.nn.Sequential(*modules)
    # What no layer may say, for those who read it; no part of the state.
    module.in_features = net.in_features
    if not any(t.is_floating_point() for t in (*module.parameters(), *module.buffers())):
        module.register_buffer("numbers", _tensor(np.zeros(0), net.dtype), persistent=False)
    return module.eval()


def _series(layers: Sequence[Layer], features: int, dtype: np.dtype[Any]) -> list[Any]:
    modules = []
    for layer in layers:
        modules += of_kind(_KINDS, layer, "to_torch")(layer, features, dtype)
        features = layer._gives(features, "", "")
    return modules


def _tensor(value: float | NDArray[Any], dtype: np.dtype[Any]) -> Any:
    import torch

    kind = torch.float32 if dtype == np.float32 else torch.float64
    return torch.tensor(np.asarray(value).astype(dtype), dtype=kind)


def _filled(module: Any, dtype: np.dtype[Any], **arrays: NDArray[Any] | None) -> Any:
    """Return a module with parameters of these values; None for one that it does not have."""
    import torch

    for name, array in arrays.items():
        value = None if array is None else torch.nn.Parameter(_tensor(array, dtype))
        setattr(module, name, value)
    return module


def _dense(layer: Dense, features: int, dtype: np.dtype[Any]) -> list[Any]:
    import torch

    activation, weight, bias = layer.activation, layer.weight, layer.bias
    if activation.name == "hard_sigmoid" and activation != Activation("hard_sigmoid"):
        alpha, beta = activation.parameters["alpha"], activation.parameters["beta"]
        wide = np.zeros(layer.out_features) if bias is None else bias.astype(np.float64)
        weight = np.reshape(alpha, (-1, 1)) * weight.astype(np.float64)
        bias = beta + alpha * wide
        follows = [torch.nn.Hardtanh(0.0, 1.0)]
    else:
        follows = _activation(activation, layer.out_features, dtype)
    # On the meta device no memory is taken, and PyTorch's random generator is not moved.
    linear = torch.nn.Linear(layer.in_features, layer.out_features, bias is not None, device="meta")
    return [_filled(linear, dtype, weight=weight, bias=bias), *follows]


def _activation(activation: Activation, features: int, dtype: np.dtype[Any]) -> list[Any]:
    from torch import nn

    name, alpha = activation.name, activation.alpha
    if name == "identity":
        return []
    by_unit = activation.in_features is not None
    bent = name == "hard_sigmoid" and activation != Activation("hard_sigmoid")
    if by_unit and name == "leaky_relu":
        return [_filled(nn.PReLU(features, device="meta"), dtype, weight=alpha)]
    if by_unit or bent or name in ("sin", "gated"):
        from laminet.interop.pytorch import layers

        values = {
            k: _tensor(v, dtype) if isinstance(v, np.ndarray) else v
            for k, v in activation.parameters.items()
        }
        own = {"sin": layers.Sin, "gated": layers.Gated, "elu": layers.ELU}
        return [own.get(name, layers.HardSigmoid)(**values)]
    if name in CLASS_OF:
        return [getattr(nn, CLASS_OF[name])()]
    modules = {
        "leaky_relu": lambda: nn.LeakyReLU(alpha),
        "elu": lambda: nn.ELU(alpha),
        "gelu": nn.GELU,
        "gelu_tanh": lambda: nn.GELU(approximate="tanh"),
        # Above the threshold PyTorch takes x itself: at 40 that is exact in float64 too.
        "softplus": lambda: nn.Softplus(threshold=40),
    }
    return [modules[name]()]


def _rescale(layer: Rescale, features: int, dtype: np.dtype[Any]) -> list[Any]:
    from laminet.interop.pytorch import layers

    values = [None if v is None else _tensor(v, dtype) for v in (layer.low, layer.high)]
    return [layers.Rescale(_tensor(layer.scale, dtype), _tensor(layer.shift, dtype), *values)]


def _layer_norm(layer: LayerNorm, features: int, dtype: np.dtype[Any]) -> list[Any]:
    from torch import nn

    # A bias without a weight the constructor does not make, and forward takes.
    module = nn.LayerNorm(features, layer.eps, elementwise_affine=False)
    return [_filled(module, dtype, weight=layer.weight, bias=layer.bias)]


def _rms_norm(layer: RMSNorm, features: int, dtype: np.dtype[Any]) -> list[Any]:
    from torch import nn

    from laminet.interop.pytorch import layers

    kind = getattr(nn, "RMSNorm", layers.RMSNorm)
    module = kind(features, layer.eps, elementwise_affine=layer.weight is not None)
    return [_filled(module, dtype, weight=layer.weight)]


def _select(layer: Select, features: int, dtype: np.dtype[Any]) -> list[Any]:
    from laminet.interop.pytorch import layers

    return [layers.Select(layer.indices(features))]


def _dropout(layer: Dropout, features: int, dtype: np.dtype[Any]) -> list[Any]:
    from torch import nn

    return [nn.Dropout(layer.rate)]


def _residual(layer: Residual, features: int, dtype: np.dtype[Any]) -> list[Any]:
    from torch import nn

    from laminet.interop.pytorch import layers

    return [layers.Residual(nn.Sequential(*_series(layer.layers, features, dtype)))]


def _parallel(layer: Parallel, features: int, dtype: np.dtype[Any]) -> list[Any]:
    from torch import nn

    from laminet.interop.pytorch import layers

    branches = [nn.Sequential(*_series(branch, features, dtype)) for branch in layer.branches]
    return [layers.Parallel(branches, layer.join)]


_KINDS: dict[type, Callable[[Any, int, np.dtype[Any]], list[Any]]] = {
    Dense: _dense,
    Activation: _activation,
    Rescale: _rescale,
    LayerNorm: _layer_norm,
    RMSNorm: _rms_norm,
    Select: _select,
    Dropout: _dropout,
    Residual: _residual,
    Parallel: _parallel,
}
