"""How far the outputs of a network may be from the exact ones, by the rounding of its sums."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from laminet import reference
from laminet.analysis.arguments import require_network
from laminet.core.floating_point import silent
from laminet.core.layers.chain import dense_chain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from laminet.core.mlp import MLP

__all__ = ["error_bound"]


@silent
def error_bound(net: MLP, x: NDArray[Any]) -> NDArray[np.float64]:
    """Bound how far each output may be from the exact one, for identity and relu layers.

    Parameters
    ----------
    net : MLP
        The network; the activations are identity or relu.
    x : ndarray of shape (in_features,) or (batch, in_features)
        The samples.

    Returns
    -------
    ndarray of shape (out_features,) or (batch, out_features), float64
        A bound for each output.

    Raises
    ------
    ValueError
        If the network has another activation, or a head.
    TypeError
        If `net` is not an MLP.

    Notes
    -----
    With the exact activations ``a_l`` and the unit roundoff ``u`` of the network's type, the error
    ``e_l`` of the computed ones is, element by element, at most ::

        e_0 = 0      e_l = |W_l| e_{l-1} + gamma_{n+1} (|W_l| (|a_{l-1}| + e_{l-1}) + |b_l|)

    where ``gamma_k = k u / (1 - k u)`` and ``n`` is the number of the layer's inputs: a sum of
    ``n`` products and a bias, in any order, is within ``gamma_{n+1}`` of the sum of the absolute
    values [1]_, of the activations as they were computed. The error of the layer before passes
    through ``|W_l|``; identity and relu do not round and do not make it larger. That the bound
    itself is evaluated in float64, and underflow, are left out.

    References
    ----------
    .. [1] N. J. Higham, "Accuracy and Stability of Numerical Algorithms", 2nd edition, SIAM 2002,
       section 3.1.
    """
    require_network(net)
    layers = dense_chain(net, "error_bound")
    if net.head is not None or not {layer.activation.name for layer in layers} <= {
        "identity",
        "relu",
    }:
        raise ValueError("error_bound takes identity and relu layers only, without a head")
    unit = float(np.finfo(net.dtype).eps) / 2
    exact = reference.trace(net, x).activations
    error = np.zeros_like(exact[0])
    for layer, a in zip(layers, exact, strict=False):
        weight = np.abs(np.asarray(layer.weight, np.float64)).T
        bias = 0.0 if layer.bias is None else np.abs(np.asarray(layer.bias, np.float64))
        k = layer.in_features + 1
        gamma = k * unit / (1 - k * unit)
        error = error @ weight + gamma * ((np.abs(a) + error) @ weight + bias)
    return error
