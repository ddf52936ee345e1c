"""From what users give as targets to what the core computes losses with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.core.conversion import as_real_array, real_array
from laminet.core.layers.tree import ending
from laminet.core.outputs import Classes, Labels, Quantities
from laminet.core.scalar_arguments import as_number_within
from laminet.losses import BinaryCrossEntropy, CrossEntropy, SquaredError
from laminet.training.samples import within_range

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from laminet.core.mlp import MLP
    from laminet.core.outputs import Outputs
    from laminet.losses import Loss

    Array = NDArray[Any]

__all__ = ["Goal", "balanced", "chosen_loss", "label_array"]

# So many labels stand in a message.
_SHOWN = 6


class Goal:
    """What training makes small: a loss of a network, its targets and the weights of classes.

    Parameters
    ----------
    net : MLP
    loss : Loss
    class_weight : dict or array_like, optional
        Of a network of classes: by label, or one for each class.

    Attributes
    ----------
    loss : Loss
    labels : ndarray or None
        Those that `y` may hold, where it holds labels.
    class_weight : ndarray of float64, or None
        One for each class.
    strips_sigmoid : bool
        Whether the loss takes what is before the sigmoid that the network ends in.
    """

    def __init__(self, net: MLP, loss: Loss, class_weight: Any = None) -> None:
        self.loss = loss
        self._net = net
        loss.num_targets(net.out_features)  # or it is none of this network
        binary = loss.name == "binary_cross_entropy"
        cross = loss.name == "cross_entropy"
        last = ending(net.layers)
        if net.head is not None and not cross:
            raise ValueError(
                f"the network ends in {net.head}, whose loss is cross_entropy, and the loss is "
                f"{loss.name}"
            )
        if cross and last == "sigmoid":
            raise ValueError(
                "the network ends in sigmoid, and cross_entropy takes logits: make it with "
                'output_activation="identity"'
            )
        self.strips_sigmoid = binary and last == "sigmoid"
        self.labels: Array | None = None
        if isinstance(net.outputs, Classes) and (cross or (binary and net.out_features == 1)):
            self.labels = net.outputs.labels
        count = max(2, net.out_features)
        self.class_weight = None
        if class_weight is not None:
            if not cross and self.labels is None:
                raise ValueError(
                    f"class_weight is for classes, and the loss is {loss.name}: give sample_weight"
                )
            self.class_weight = _as_class_weight(class_weight, self.labels, count)

    @property
    def num_classes(self) -> int | None:
        """How many classes there are; None where targets are no classes."""
        if self.labels is not None:
            return len(self.labels)
        return self._net.out_features if self.loss.name == "cross_entropy" else None

    def targets(self, y: ArrayLike, name: str = "y") -> Array:
        """Return targets as the core takes them: int64 classes, or numbers of the network's dtype.

        Raises
        ------
        ValueError
            If the shape is wrong, or one is out of bounds or no label of the network.
        TypeError
            If they are neither numbers nor labels.
        """
        dtype, count = self._net.dtype, self._net.out_features
        _require_order(y, self._net.outputs, name)
        if self.labels is None:
            try:
                return self.loss.as_targets(y, count, dtype, name)
            except TypeError:
                if self.loss.name in ("cross_entropy", "binary_cross_entropy"):
                    _refuse_text(y, name)
                raise
        given = label_array(y, name)
        if given.ndim == 2 and given.shape[1] == 1:
            given = given[:, 0]
        if given.ndim != 1:
            if self.loss.name == "cross_entropy":  # probabilities
                return self.loss.as_targets(y, count, dtype, name)
            raise ValueError(f"{name} must have shape (batch,), a label each, got {given.shape}")
        found = _indices(given, self.labels, name)
        return found if self.loss.name == "cross_entropy" else found[:, None].astype(dtype)

    def weights(
        self, targets: Array, sample_weight: NDArray[np.float64] | None
    ) -> NDArray[np.float64] | None:
        """Return what the core takes as weights: of one output for two classes theirs included."""
        if self.class_weight is None or self.loss.name == "cross_entropy":
            return sample_weight
        of_classes = self.class_weight[targets[:, 0].astype(np.intp)]
        if sample_weight is None or not of_classes.any():
            return of_classes
        with np.errstate(under="ignore"):
            return within_range(of_classes) * within_range(sample_weight)

    def count(self, targets: Array, weights: NDArray[np.float64] | None) -> int:
        """Return how many samples make steps: those whose weight, by `weights`, is not 0."""
        there = np.ones(len(targets), bool) if weights is None else weights > 0
        if self.class_weight is not None and targets.ndim == 1 and targets.dtype.kind == "i":
            there &= self.class_weight[targets] > 0
        elif weights is None:
            return len(targets)
        return int(there.sum())

    def require_some(self, targets: Array, weights: NDArray[np.float64] | None, use: str) -> None:
        """Raise a ValueError where no sample is left by its own weight and that of its class."""
        if self.count(targets, self.weights(targets, weights)) == 0:
            raise ValueError(
                "class_weight, or its product with sample_weight, is 0 for all samples: there is "
                f"nothing to {use}"
            )


def _require_order(y: Any, outputs: Outputs | None, name: str) -> None:
    """Raise a ValueError for a table whose columns are the outputs by name, in another order."""
    stated = getattr(outputs, "names", None) if isinstance(outputs, Quantities) else None
    if isinstance(outputs, Labels):
        stated = outputs.labels.tolist()
    columns = getattr(y, "column_names", getattr(y, "columns", None))  # of Arrow, of the others
    if stated is None or columns is None:
        return
    given, expected = [str(c) for c in columns], [str(c) for c in stated]
    if given != expected and sorted(given) == sorted(expected):
        raise ValueError(
            f"{name} has the columns {', '.join(given)}, and the outputs of the network are "
            f"{', '.join(expected)}, in this order"
        )


def _refuse_text(y: Any, name: str) -> None:
    """Raise a ValueError for labels that are text, where the network has none to compare with."""
    given = label_array(y, name)
    if given.dtype.kind in "OUT" and any(isinstance(value, str) for value in given.flat):
        raise ValueError(
            f"{name} holds text, and the network has no labels: say which it has, in the order of "
            f"its outputs, as in net.with_outputs(ln.Classes(numpy.unique({name})))"
        ) from None


def chosen_loss(net: MLP, y: ArrayLike | None) -> Loss:
    """Return the loss that follows what the outputs of a network stand for, or else targets.

    Raises
    ------
    ValueError
        If neither tells; it says what to write.
    """
    outputs = net.outputs
    if isinstance(outputs, Classes):
        return BinaryCrossEntropy() if net.out_features == 1 else CrossEntropy()
    if isinstance(outputs, Labels):
        return BinaryCrossEntropy()
    if isinstance(outputs, Quantities):
        return SquaredError()
    if net.head is not None:
        return CrossEntropy()
    if y is not None:
        given = label_array(y, "y")
        row = given.ndim == 1 or (given.ndim == 2 and given.shape[1] == 1)
        if given.dtype.kind == "f":
            return SquaredError()
        if net.out_features > 1 and row:
            return CrossEntropy()
    raise ValueError(
        "nothing tells what the network's outputs stand for, and so which loss to take: say "
        'loss="squared_error", "cross_entropy" or "binary_cross_entropy", or what they are, as in '
        "net.with_outputs(ln.Quantities()), ln.Classes([...]) or ln.Labels([...])"
    )


def balanced(
    value: str, goal: Goal, targets: Array, weights: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Return weights of classes that have the same weight in sum; a class without samples has 0.

    Raises
    ------
    ValueError
        If `value` is another word, or targets are no classes.
    """
    count = goal.num_classes
    classes = targets if targets.ndim == 1 else targets[:, 0]
    if value != "balanced" or count is None or (targets.ndim == 2 and goal.labels is None):
        expected = "a dict by label or a number for each class"
        if value == "balanced":
            raise ValueError(
                "class_weight='balanced' needs targets that are classes, one for each sample"
            )
        raise ValueError(f"class_weight must be 'balanced', {expected}, got {value!r}")
    sums = np.bincount(classes.astype(np.intp), weights, minlength=count).astype(np.float64)
    there = sums > 0
    return np.where(there, sums.sum() / (there.sum() * np.where(there, sums, 1)), 0.0)


def label_array(y: Any, name: str) -> Array:
    """Return labels or numbers as an array: text stays text."""
    values = y
    if type(values).__module__.partition(".")[0] == "pyarrow":
        values = _values_of_arrow(values)
    elif not isinstance(values, (np.ndarray, list, tuple)) and hasattr(values, "to_numpy"):
        values = values.to_numpy()
    if isinstance(values, (list, tuple)) and _holds_text(values):
        values = np.array(values, dtype=object)  # NumPy would make text of numbers in it
    if isinstance(values, np.ndarray) and values.dtype.kind in "OUT":
        if isinstance(values, np.ma.MaskedArray):
            raise TypeError(f"{name} is a masked array: fill it first")
        return values
    return real_array(y, name)


def _holds_text(values: Sequence[Any]) -> bool:
    """Whether text is in a list, or in lists of one length in it."""
    lengths = [len(row) for row in values if isinstance(row, (list, tuple))]
    if not lengths:
        return any(isinstance(value, str) for value in values)
    equal = len(lengths) == len(values) and len(set(lengths)) == 1
    return equal and any(isinstance(value, str) for row in values for value in row)


def _values_of_arrow(values: Any) -> Any:
    """Return an array, or the one column of a table, as it is where it holds no text."""
    column = values.column(0) if getattr(values, "num_columns", 0) == 1 else values
    kind = str(getattr(column, "type", ""))
    if not kind.startswith(("string", "large_string", "dictionary")):
        return values
    # Missing ones, which to_numpy makes NaN or None, are none of the labels.
    return np.array(column.to_pylist(), dtype=object)


def _indices(given: Array, labels: Array, name: str) -> NDArray[np.int64]:
    """Return for each label which of the known ones it is."""
    if given.dtype.kind in "biuf" and labels.dtype.kind in "biuf":
        order = np.argsort(labels, kind="stable")
        place = np.clip(np.searchsorted(labels, given, sorter=order), 0, len(labels) - 1)
        found = order[place].astype(np.int64)
        wrong = labels[found] != given
    else:
        index = {label: i for i, label in enumerate(labels.tolist())}
        found = np.array([_index(index, value) for value in given.tolist()], np.int64)
        wrong = found < 0
    if wrong.any():
        row = int(wrong.argmax())
        shown = ", ".join(map(repr, labels[:_SHOWN].tolist()))
        more = f", ... ({len(labels)} in all)" if len(labels) > _SHOWN else ""
        raise ValueError(
            f"{name} must hold the network's labels, {shown}{more}: row {row} holds "
            f"{given[row : row + 1].tolist()[0]!r}"
        )
    return found


def _index(index: dict[Any, int], value: Any) -> int:
    try:
        return index.get(value, -1)
    except TypeError:  # has no hash
        return -1


def _as_class_weight(value: Any, labels: Array | None, count: int) -> NDArray[np.float64]:
    """Return a weight for each class."""
    name = "class_weight"
    if isinstance(value, str):
        raise ValueError(
            f"{name} must be a dict by label or a number for each class, got {value!r}"
            + ("; ln.fit alone knows how many there are of each" if value == "balanced" else "")
        )
    known = list(range(count)) if labels is None else labels.tolist()
    if not isinstance(value, Mapping) and hasattr(value, "items") and hasattr(value, "index"):
        # A Series of pandas, such as ``1 / y.value_counts()``, goes by its labels, unless these
        # only count its numbers.
        counts = list(value.index) == list(range(len(value)))
        value = value if counts and not set(value.index) & set(known) else dict(value.items())
    if isinstance(value, Mapping):
        unknown = [label for label in value if label not in known]
        if unknown:
            raise ValueError(f"{name} has {unknown[0]!r}, which is no class of the network")
        given: Any = [value.get(label, 1.0) for label in known]
        weights = np.array(
            [
                as_number_within(w, f"{name}[{k!r}]", least=0)
                for k, w in zip(known, given, strict=True)
            ]
        )
    else:
        weights = as_real_array(value, np.dtype(np.float64), name)
        if weights.shape != (count,):
            raise ValueError(f"{name} must have shape ({count},), got shape {weights.shape}")
        for i, weight in enumerate(weights):
            as_number_within(float(weight), f"{name}[{i}]", least=0)
    if not weights.any():
        raise ValueError(f"{name} is 0 for all classes: there is nothing to learn from")
    return weights
