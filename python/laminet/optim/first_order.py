"""Optimisers whose update of a parameter looks at its own gradient and moments alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np

from laminet.core.public_module import named_in
from laminet.core.scalar_arguments import as_flag, as_number_within
from laminet.optim.optimizer import FirstOrder

__all__ = ["SGD", "Adam", "AdamW", "as_betas"]


@named_in("laminet.optim")
@dataclass(frozen=True, repr=False)
class SGD(FirstOrder):
    """Stochastic gradient descent, with momentum if asked for [1]_. As ``torch.optim.SGD``.

    Parameters
    ----------
    learning_rate : float, default 1e-3
    momentum : float, default 0
        At least 0 and less than 1.
    nesterov : bool, default False
        Take the gradient from where the momentum leads.
    dampening : float, default 0
        At least 0 and less than 1: a gradient adds ``1 - dampening`` of itself to the momentum,
        but the first one all. Nothing where there is no momentum.
    weight_decay : float, default 0
        Adds ``weight_decay`` times the parameter to its gradient: L2 regularisation.
    decay_biases : bool, default False
        Whether decay is for biases and the parameters of norms, too.
    clip_norm : float, optional
        The largest norm that all gradients together may have: those above it are scaled down, as by
        ``torch.nn.utils.clip_grad_norm_``.
    schedule : Schedule or str, optional
        What the learning rate is multiplied by as training goes on: see `laminet.optim.schedules`.
    average : float, optional
        Keep an exponential average of the parameters, which becomes the network's: after each step
        ``average`` of it stay, and the rest is that of the parameters. It begins with those after
        the first step, as ``torch.optim.swa_utils.AveragedModel``. Between 0 and 1.
    learning_rate_factors : sequence of float, or dict of str to float, optional
        By layer: one for each of ``net.layers``, or of some places, ``{"layers[0]": 0.1}``, each
        for all within it. 0 leaves a layer as it is, and its gradients out of `clip_norm`.

    Raises
    ------
    ValueError
        If a number is out of its bounds, or `nesterov` has no momentum, or has dampening.
    TypeError
        If an argument is of a wrong type.

    References
    ----------
    .. [1] I. Sutskever, J. Martens, G. Dahl, G. Hinton, "On the Importance of Initialization and
       Momentum in Deep Learning", ICML 2013.

    Examples
    --------
    >>> import laminet as ln
    >>> ln.optim.SGD(0.1, momentum=0.9, nesterov=True)
    SGD(learning_rate=0.1, momentum=0.9, nesterov=True)
    """

    _: KW_ONLY
    momentum: float = 0.0
    nesterov: bool = False
    dampening: float = 0.0
    name: ClassVar[str] = "sgd"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(
            momentum=as_number_within(self.momentum, "momentum", least=0, below=1),
            nesterov=as_flag(self.nesterov, "nesterov"),
            dampening=as_number_within(self.dampening, "dampening", least=0, below=1),
        )
        if self.nesterov and (self.momentum == 0 or self.dampening > 0):
            raise ValueError("nesterov needs a momentum above 0 and no dampening")


@dataclass(frozen=True, repr=False)
class _Moments(FirstOrder):
    """What Adam and AdamW have."""

    _: KW_ONLY
    # What __post_init__ makes of it is a tuple of two.
    betas: Any = (0.9, 0.999)
    eps: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(
            betas=as_betas(self.betas, "betas"), eps=as_number_within(self.eps, "eps", above=0)
        )


@named_in("laminet.optim")
@dataclass(frozen=True, repr=False)
class Adam(_Moments):
    """Gradients divided by the root of their second moment [1]_. As ``torch.optim.Adam``.

    Parameters
    ----------
    learning_rate : float, default 1e-3
    betas : (float, float), default (0.9, 0.999)
        How much of the first and the second moment stays; each at least 0 and less than 1.
    eps : float, default 1e-8
        Added to the root; above 0.
    weight_decay : float, default 0
        Adds ``weight_decay`` times the parameter to its gradient, before the moments: of `AdamW`
        decay does not go through them, which mostly serves better.
    decay_biases, clip_norm, schedule, average, learning_rate_factors
        As of `SGD`.

    Raises
    ------
    ValueError
        If a number is out of its bounds.
    TypeError
        If an argument is of a wrong type.

    References
    ----------
    .. [1] D. P. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015,
       algorithm 1.

    Examples
    --------
    >>> import laminet as ln
    >>> ln.optim.Adam(0.01, clip_norm=1.0)
    Adam(learning_rate=0.01, clip_norm=1.0)
    """

    name: ClassVar[str] = "adam"


@named_in("laminet.optim")
@dataclass(frozen=True, repr=False)
class AdamW(_Moments):
    """Adam with a decay of its own, that no moment sees [1]_. As ``torch.optim.AdamW``.

    Parameters
    ----------
    learning_rate : float, default 1e-3
    betas : (float, float), default (0.9, 0.999)
        As of `Adam`.
    eps : float, default 1e-8
        As of `Adam`.
    weight_decay : float, default 0.01
        In each step a parameter loses ``learning_rate * weight_decay`` of itself.
    decay_biases, clip_norm, schedule, average, learning_rate_factors
        As of `SGD`.

    Raises
    ------
    ValueError
        If a number is out of its bounds.
    TypeError
        If an argument is of a wrong type.

    References
    ----------
    .. [1] I. Loshchilov, F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019,
       algorithm 2.

    Examples
    --------
    >>> import laminet as ln
    >>> ln.optim.AdamW(1e-3, schedule="cosine", average=0.999)
    AdamW(learning_rate=0.001, schedule=Cosine(), average=0.999)
    """

    _: KW_ONLY
    weight_decay: float = 1e-2
    name: ClassVar[str] = "adamw"


def as_betas(value: Any, name: str) -> tuple[float, float]:
    """Return what stays of two moments as a tuple; refuse all else."""
    if isinstance(value, str) or not isinstance(value, (Sequence, np.ndarray)):
        raise TypeError(f"{name} must be two numbers, got {type(value).__name__}")
    if len(value) != 2:
        raise ValueError(f"{name} must be two numbers, got {len(value)}")
    one, two = (as_number_within(value[i], f"{name}[{i}]", least=0, below=1) for i in (0, 1))
    return one, two
