"""`to_torch`: a module of PyTorch from a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.core.activation import Activation
from laminet.core.floating_point import silent
from laminet.core.layers.chain import dense_chain

if TYPE_CHECKING:
    from laminet.core.layers.dense import Dense
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
        ``Linear`` layers and activations, and a ``Softmax`` or ``LogSoftmax`` over the last
        dimension for a head; parameters of the network's dtype, copied, on the CPU, with gradients.
        `laminet.from_torch` makes an equal network of it, but that a module has no place for what
        the outputs stand for and for names of features: give it ``outputs=net.outputs``.

    Raises
    ------
    TypeError
        If `net` is not an MLP.
    ValueError
        If PyTorch has no module for an activation: sin and gated.

    Notes
    -----
    PyTorch's hard sigmoid has no parameters: for one with others than 1/6 and 1/2 they are folded
    into the layer before (in float64, rounded once), and ``Hardtanh(0, 1)`` follows.
    """
    import torch

    from laminet.core.mlp import MLP

    if not isinstance(net, MLP):
        raise TypeError(f"net must be an MLP, got {type(net).__name__}")
    modules: list[Any] = []
    for layer in dense_chain(net, "ln.to_torch"):
        modules += _layer(layer)
    if net.head is not None:
        head = torch.nn.Softmax if net.head == "softmax" else torch.nn.LogSoftmax
        modules.append(head(dim=-1))
    return torch.nn.Sequential(*modules)


def _layer(layer: Dense) -> list[Any]:
    import torch

    activation, weight, bias = layer.activation, layer.weight, layer.bias
    if activation.name == "hard_sigmoid" and activation != Activation("hard_sigmoid"):
        alpha, beta = activation.parameters["alpha"], activation.parameters["beta"]
        weight = alpha * weight.astype(np.float64)
        wide = np.zeros(layer.out_features) if bias is None else bias.astype(np.float64)
        bias = beta + alpha * wide
        follows = torch.nn.Hardtanh(0.0, 1.0)
    else:
        follows = _activation(activation)
    dtype = torch.float32 if layer.dtype == np.float32 else torch.float64
    # On the meta device no memory is taken, and PyTorch's random generator is not moved.
    linear = torch.nn.Linear(layer.in_features, layer.out_features, bias is not None, device="meta")
    for name, array in (("weight", weight), ("bias", bias)):
        if array is not None:
            values = torch.tensor(array.astype(layer.dtype), dtype=dtype)
            setattr(linear, name, torch.nn.Parameter(values))
    return [linear] if follows is None else [linear, follows]


def _activation(activation: Activation) -> Any:
    from torch import nn

    alpha = activation.alpha
    modules = {
        "identity": lambda: None,
        "relu": nn.ReLU,
        "relu6": nn.ReLU6,
        "leaky_relu": lambda: nn.LeakyReLU(alpha),
        "elu": lambda: nn.ELU(alpha),
        "selu": nn.SELU,
        "gelu": nn.GELU,
        "gelu_tanh": lambda: nn.GELU(approximate="tanh"),
        "silu": nn.SiLU,
        "mish": nn.Mish,
        "tanh": nn.Tanh,
        "sigmoid": nn.Sigmoid,
        # Above the threshold PyTorch takes x itself: at 40 that is exact in float64 too.
        "softplus": lambda: nn.Softplus(threshold=40),
        "softsign": nn.Softsign,
        "hard_sigmoid": nn.Hardsigmoid,
        "hard_swish": nn.Hardswish,
    }
    if activation.name not in modules:
        raise ValueError(f"PyTorch has no module for the activation {activation.name!r}")
    return modules[activation.name]()
