"""Networks that know what their outputs stand for: the classes of a classifier, or quantities."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.dense import Dense
from laminet.mlp import MLP

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[Any]


class Classifier(MLP):
    """A network whose outputs stand for classes: `predict` gives their labels.

    Everything else is as in `MLP`. `laminet.from_sklearn` makes one of an ``MLPClassifier``.

    Parameters
    ----------
    layers : iterable of Dense
        As in `MLP`; the last one has one output for each class.
    classes : array_like of shape (out_features,), optional
        The labels, all different: numbers or text. By default ``0, 1, ...``.
    head : {None, "softmax", "log_softmax"}, default None
        As in `MLP`. Without a head the outputs are logits.
    multilabel : bool, default False
        Whether each output is the probability of a label of its own: a sample has any number of
        labels, where otherwise it has one class. The last activation is then sigmoid.

    Attributes
    ----------
    classes : ndarray of shape (out_features,), read-only
    multilabel : bool

    Raises
    ------
    ValueError
        As in `MLP`; also if there is not one label for each output, labels are equal, or
        `multilabel` comes with a head or without a sigmoid.

    Examples
    --------
    >>> import laminet as ln
    >>> net = ln.Classifier([ln.Dense([[1.0], [-1.0]])], ["up", "down"], head="softmax")
    >>> print(net.predict([[3.0], [-2.0]]), net.predict([3.0]))
    ['up' 'down'] up
    """

    __slots__ = ("_classes", "_multilabel")

    def __init__(
        self,
        layers: Iterable[Dense],
        classes: ArrayLike | None = None,
        *,
        head: str | None = None,
        multilabel: bool = False,
    ) -> None:
        super().__init__(layers, head=head)
        labels = np.arange(self.out_features) if classes is None else np.array(classes)
        if labels.dtype.kind == "U":
            labels = np.array(labels.tolist())  # as wide as the longest
        if labels.shape != (self.out_features,):
            raise ValueError(
                f"classes must have shape ({self.out_features},), one label for each output, "
                f"got shape {labels.shape}"
            )
        if labels.dtype.kind not in "biufUO":
            raise ValueError(f"classes must be numbers or text, got dtype {labels.dtype}")
        if len(set(labels.tolist())) != len(labels):
            raise ValueError("classes must all be different")
        last = self.layers[-1].activation.name
        if multilabel and (self.head is not None or last != "sigmoid"):
            ending = self.head or last
            raise ValueError(f"multilabel takes sigmoid as the last activation, got {ending}")
        labels.flags.writeable = False
        self._classes: Array = labels
        self._multilabel = bool(multilabel)

    @property
    def classes(self) -> Array:
        """The labels, one for each output, read-only."""
        return self._classes

    @property
    def multilabel(self) -> bool:
        """Whether a sample has any number of labels, and not one class."""
        return self._multilabel

    def predict(self, x: ArrayLike) -> Any:
        """Return the label of the largest output of each sample.

        Parameters
        ----------
        x : array_like of shape (in_features,) or (batch, in_features)

        Returns
        -------
        label, or ndarray of shape (batch,)
            Of the dtype of `classes`; the first of equal outputs. For multilabel networks ndarray
            of shape (out_features,) or (batch, out_features), int64: 1 where the probability is
            above 1/2, else 0.

        Raises
        ------
        ValueError, TypeError
            As ``net(x)`` does.
        """
        if self._multilabel:
            return (self(x) > 0.5).astype(np.int64)
        return self._classes[super().predict(x)]

    def predict_proba(self, x: ArrayLike) -> Array:
        """Return the probability of each class; for multilabel networks, of each label.

        Parameters
        ----------
        x : array_like of shape (in_features,) or (batch, in_features)

        Returns
        -------
        ndarray of shape (out_features,) or (batch, out_features)

        Raises
        ------
        ValueError, TypeError
            As ``net(x)`` does.
        """
        return self(x) if self._multilabel else super().predict_proba(x)

    def predict_log_proba(self, x: ArrayLike) -> Array:
        """Return the logarithms of `predict_proba`, also where that underflows to 0.

        Parameters
        ----------
        x : array_like of shape (in_features,) or (batch, in_features)

        Returns
        -------
        ndarray of shape (out_features,) or (batch, out_features)

        Raises
        ------
        ValueError, TypeError
            As ``net(x)`` does.
        """
        if not self._multilabel:
            return super().predict_log_proba(x)
        z = self.trace(x).pre_activations[-1]
        with np.errstate(all="ignore"):
            log_proba: Array = np.minimum(z, 0) - np.log1p(np.exp(-np.abs(z)))
        return log_proba

    def _like(self, layers: Iterable[Dense]) -> MLP:
        return Classifier(layers, self._classes, head=self.head, multilabel=self._multilabel)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Classifier):
            return super().__eq__(other)
        return (
            super().__eq__(other)
            and self._multilabel == other._multilabel
            and self._classes.dtype == other._classes.dtype
            and bool((self._classes == other._classes).all())
        )

    def __reduce__(self) -> tuple[Any, ...]:
        make = partial(Classifier, head=self.head, multilabel=self._multilabel)
        return make, (self.layers, self._classes)

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self._classes[:3].tolist()))
        if len(self._classes) > 4:
            shown += f", ... {self._classes[-1:].tolist()[0]!r}"
        elif len(self._classes) == 4:
            shown += f", {self._classes[-1:].tolist()[0]!r}"
        kind = "labels" if self._multilabel else "classes"
        return f"Classifier{super().__repr__()[3:-1]}, {kind}: {shown})"


class Regressor(MLP):
    """A network whose outputs are quantities: `predict` gives them.

    Everything else is as in `MLP`, but that there are no probabilities. `laminet.from_sklearn`
    makes one of an ``MLPRegressor``.

    Parameters
    ----------
    layers : iterable of Dense
        As in `MLP`.

    Examples
    --------
    >>> import laminet as ln
    >>> ln.Regressor([ln.Dense([[2.0]], [1.0])]).predict([[1.0], [3.0]])
    array([3., 7.])
    """

    __slots__ = ()

    def __init__(self, layers: Iterable[Dense]) -> None:
        super().__init__(layers)

    def predict(self, x: ArrayLike) -> Any:
        """Return the outputs, without their axis where there is one output.

        Parameters
        ----------
        x : array_like of shape (in_features,) or (batch, in_features)

        Returns
        -------
        ndarray of shape (out_features,) or (batch, out_features)
            With one output, a number of the network's dtype, or ndarray of shape (batch,).

        Raises
        ------
        ValueError, TypeError
            As ``net(x)`` does.
        """
        y = self(x)
        return y[..., 0] if self.out_features == 1 else y

    def predict_proba(self, x: ArrayLike) -> Array:
        """Refuse: a regressor has no probabilities."""
        raise TypeError("a Regressor has no probabilities: its outputs are quantities")

    predict_log_proba = predict_proba

    def _like(self, layers: Iterable[Dense]) -> MLP:
        return Regressor(layers)

    def __reduce__(self) -> tuple[Any, ...]:
        return Regressor, (self.layers,)

    def __repr__(self) -> str:
        return f"Regressor{super().__repr__()[3:]}"
