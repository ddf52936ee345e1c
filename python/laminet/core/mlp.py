"""Networks: layers in series, and what can be asked of them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet import _core
from laminet.core.activation import Activation
from laminet.core.conversion.counts import (
    as_batch,
    as_count,
    largest_batch,
    require_width,
    shown,
)
from laminet.core.derivatives import Differentiable
from laminet.core.heads import as_head
from laminet.core.hooks import hooks
from laminet.core.identity import added_state, digest
from laminet.core.initialization import as_dtype, he_normal_layers
from laminet.core.inputs import as_feature_names, as_inputs
from laminet.core.interned import interned, known, may_be_shared
from laminet.core.layers.chain import is_chain
from laminet.core.layers.dense import Dense
from laminet.core.layers.dropout import drops, in_training
from laminet.core.layers.layer import Layer
from laminet.core.layers.tree import as_series, brief, for_core, given, taken, walk
from laminet.core.outputs import UNSTATED, Outputs, as_outputs
from laminet.core.parameters import places_of
from laminet.core.plan import Plan, plan_of
from laminet.core.precision import as_precision, precision_named
from laminet.core.public_module import named_in
from laminet.core.runtime import check_environment
from laminet.core.steps import program_of
from laminet.core.stepwise import trace_by_layer
from laminet.core.trace import Trace

if TYPE_CHECKING:
    import os

    from numpy.typing import ArrayLike, DTypeLike, NDArray
    from typing_extensions import Self

    from laminet.core.name_types import ActivationName, HeadName, PrecisionName
    from laminet.core.summary import Summary

    Array = NDArray[Any]

_CORES: dict[np.dtype[Any], Any] = {
    np.dtype(np.float32): _core.NetworkF32.make,
    np.dtype(np.float64): _core.NetworkF64.make,
}
_DERIVATIVES: dict[np.dtype[Any], Any] = {
    np.dtype(np.float32): _core.DerivativesF32.make,
    np.dtype(np.float64): _core.DerivativesF64.make,
}


class _SignatureOfCall:
    """``inspect.signature(net)``: for a call in C, Python knows none."""

    def __get__(self, net: MLP | None, owner: type) -> inspect.Signature:
        if net is None:
            raise AttributeError("__signature__")  # the class has that of __init__
        return inspect.signature(net.forward)


@named_in("laminet")
class MLP(_core.NetworkCall, Differentiable):
    """A multilayer perceptron: dense layers, one after the other, and what is built of them.

    Samples are rows: ``Z_l = A_{l-1} W_l^T + b_l``, ``A_l = s_l(Z_l)``, ``A_0 = X``; the outputs
    are ``A_L``, or the head of it. Beside `Dense` stand `Activation`, `Rescale`, `LayerNorm`,
    `RMSNorm`, `Select` and `Dropout`, and layers within layers: `Residual` and `Parallel`.

    Parameters
    ----------
    layers : iterable of layers
        Each takes as many features as the one before gives. Their arrays are copied.
    head : {None, "softmax", "log_softmax"}, default None
        What follows the last layer, over the outputs of each sample. ``net(x)`` then gives
        probabilities or their logarithms; `predict_proba` and `predict_log_proba` give the same
        with any head, and without one.
    outputs : Quantities, Classes or Labels, optional
        What the outputs stand for; it decides what `predict` and `predict_proba` answer.
    feature_names : sequence of str, optional
        The names of the inputs, one for each, all different. A table whose columns have names, such
        as a pandas DataFrame, must then have these, in this order.
    inputs : sequence of (str, int), optional
        Of a model that took several inputs, joined in this order to one: names and widths.
    in_features : int, optional
        How many features the network takes; needed where the layers do not say it, as where they
        begin with a `Select`.
    dtype : {"float32", "float64"}, optional
        By default float64 if a layer is, else float32. Other arrays are rounded to it.
    precision : {"float32", "float64", "bfloat16_weights", "bfloat16"}, optional
        By default that of the dtype; see `with_precision`.

    Attributes
    ----------
    layers : tuple of layers
        Their arrays are read-only: the network's own, those of dense layers views of the memory
        that it computes with.
    head : str or None
    outputs : Quantities, Classes, Labels or None
    feature_names : tuple of str, or None
    inputs : tuple of (str, int), or None
    sizes : tuple of int
        ``(in_features, ..., out_features)``: the input's, and after each layer.
    in_features, out_features : int
    dtype : numpy.dtype
        float32 or float64.
    precision : str
        How exactly products are computed: "float32", "float64", "bfloat16_weights" or "bfloat16".
    num_parameters : int
        Weights and biases, of dense layers and of norms, and parameters of activations by unit.

    Raises
    ------
    ValueError
        If there is no layer, the shapes do not chain, nothing says how many features the network
        takes, a parameter of an activation is not finite in the network's dtype, the head is
        unknown, or the layers do not fit `outputs`, `feature_names` or `inputs`.
    TypeError
        If something else than a layer is among them, or another argument is of a wrong type.

    Notes
    -----
    ``net(x)`` is ``net.forward(x)``. A network never changes. Any number of threads may call it at
    once. With the tiled back end on AVX2 or wider, a sample's result has the same bits whatever the
    batch it comes in, its place there, and the number of threads; a NaN keeps its place, and its
    sign and payload are no promise.

    Samples may come as anything that holds real numbers. An array of the network's dtype is read in
    place, whatever its strides. Other dtypes (float16, and bfloat16, float8 and int4 of ml_dtypes),
    nested lists, tensors on the CPU, and tables whose columns are all numbers or bool (pandas,
    nullable and Arrow-backed columns too, polars, Arrow) are converted. A Series or an Arrow array
    has one axis, and so is one sample; a column is ``x[["a"]]``. Where `feature_names` are known,
    the columns of a table, and the labels of a pandas Series, must be those and in that order;
    labels that are numbers are no names. Missing values are a ValueError, NaN of a float is a
    number.

    Networks are equal if all that is above is, bit for bit, and they are of one class. A subclass
    keeps its class and its attributes through `pickle`, `copy`, `astype` and `with_outputs`, and so
    does a subclass of a layer in a network; a file has it as what it is derived from. Where there
    is no subclass, a process that unpickles a network again gets the one that it has, its weights
    packed, as long as something refers to it; `copy` gives the network itself.

    Examples
    --------
    >>> import numpy as np, laminet as ln
    >>> net = ln.MLP([ln.Dense([[1.0, -1.0], [2.0, 0.0]], [0.5, 0.0], "relu")])
    >>> net([3.0, 1.0])
    array([2.5, 6. ])
    >>> net(np.zeros((4, 2))).shape
    (4, 2)
    """

    __slots__ = (
        "__weakref__",
        "_derivatives",
        "_digest",
        "_dtype",
        "_feature_names",
        "_head",
        "_inputs",
        "_layers",
        "_outputs",
        "_places",
        "_precision",
        "_sizes",
    )

    __signature__ = _SignatureOfCall()

    def __init__(
        self,
        layers: Iterable[Layer],
        *,
        head: HeadName | None = None,
        outputs: Outputs | None = None,
        feature_names: Iterable[str] | None = None,
        inputs: Iterable[tuple[str, int]] | None = None,
        in_features: int | None = None,
        dtype: DTypeLike | None = None,
        precision: PrecisionName | None = None,
    ) -> None:
        check_environment()
        tree = as_series(layers, "layers")
        if not tree:
            raise ValueError("layers is empty; a network needs at least one layer")
        features = _features(tree, in_features)
        sizes = (features, *given(tree, features, "layers", _giver(in_features)))
        known_head, stated = as_head(head), as_outputs(outputs)
        names = as_feature_names(feature_names, features)
        joined = as_inputs(inputs, features)
        kind = _widest(tree) if dtype is None else as_dtype(dtype)
        exactness = as_precision(precision, kind)
        own = [layer._mapped(lambda leaf: _owned(leaf, kind)) for layer in tree]
        # The core wants a step; of no layer but Dropout there is none.
        told = for_core(own, features) or [("activation", Activation("identity"))]
        try:
            core = _CORES[kind](told, known_head or "none", names, features, exactness)
        except ValueError as error:
            if exactness != kind.name and (place := _beyond_bfloat16(own)):
                raise ValueError(f"{place}: {error}") from None
            raise
        super().__init__(core)  # first of all: it refuses a network that is complete
        self._head = known_head
        self._outputs = stated
        self._feature_names = names
        self._inputs = joined
        self._sizes = sizes
        self._dtype = kind
        self._precision = exactness
        self._digest: bytes | None = None
        self._derivatives = _DERIVATIVES[kind](core)
        numbers = count()

        def shown(leaf: Layer) -> Layer:
            if not isinstance(leaf, Dense):
                return leaf
            i = next(numbers)
            return leaf._again(weight=core.weight(i), bias=core.bias(i))

        self._layers = tuple(layer._mapped(shown) for layer in own)
        self._places = places_of(self._layers)
        if stated is not None:
            stated.check(self)

    @classmethod
    def init(
        cls,
        sizes: Sequence[int],
        activation: (ActivationName | Activation | Sequence[ActivationName | Activation]) = "relu",
        *,
        output_activation: ActivationName | Activation = "identity",
        bias: bool = True,
        dtype: DTypeLike = "float32",
        seed: int | np.random.Generator | None = None,
        head: HeadName | None = None,
        outputs: Outputs | None = None,
        feature_names: Iterable[str] | None = None,
    ) -> MLP:
        """Return a network with random weights: He-normal, biases zero.

        Parameters
        ----------
        sizes : sequence of int
            ``[in_features, hidden, ..., out_features]``.
        activation : str or Activation, or a sequence of them
            One for all hidden layers, or one for each.
        output_activation : str or Activation, default "identity"
        bias : bool, default True
            Whether layers have biases.
        dtype : {"float32", "float64"}
        seed : int or numpy.random.Generator, optional
            For `numpy.random.default_rng`. The weights are drawn in float64, so one seed gives the
            same network in both dtypes, but for rounding.
        head, outputs, feature_names
            As in `MLP`.

        Returns
        -------
        MLP

        Raises
        ------
        ValueError
            If a size is less than 1, `activation` does not name one function for each hidden
            layer, or as `MLP` raises it.
        TypeError
            If a size is not an integer, or as `MLP` raises it.
        MemoryError
            If there is no memory for the weights.

        Notes
        -----
        Weights are normal with mean 0 and variance ``2 / in_features`` of their layer [1]_.

        References
        ----------
        .. [1] K. He, X. Zhang, S. Ren, J. Sun, "Delving Deep into Rectifiers", ICCV 2015, eq. 10.

        Examples
        --------
        >>> import laminet as ln
        >>> ln.MLP.init([784, 256, 128, 10], seed=0)
        MLP(784 -> 256 relu -> 128 relu -> 10 identity, float32, 235146 parameters)
        """
        given = {"head": head, "outputs": outputs, "feature_names": feature_names}
        return cls(
            he_normal_layers(sizes, activation, output_activation, bias, as_dtype(dtype), seed),
            # A subclass may take the layers alone. (What each is, mypy does not follow.)
            **{name: value for name, value in given.items() if value is not None},  # type: ignore[arg-type]
        )

    def _core_in_training(self) -> Any:
        """Return a network of the core with its dropout, which `_core` is without."""
        if not drops(self._layers):
            return self._core
        told = for_core(in_training(self._layers), self.in_features)
        return _CORES[self._dtype](
            told, self._head or "none", self._feature_names, self.in_features
        )

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers; their arrays are read-only, and the network's own."""
        return self._layers

    @property
    def head(self) -> HeadName | None:
        """What follows the last layer: "softmax", "log_softmax" or None."""
        return self._head

    @property
    def outputs(self) -> Outputs | None:
        """What the outputs stand for: `Quantities`, `Classes` or `Labels`; None if nobody said."""
        return self._outputs

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """The names of the inputs, one for each; None where they have none."""
        return self._feature_names

    @property
    def inputs(self) -> tuple[tuple[str, int], ...] | None:
        """Of a model that took several inputs, joined to one: their names and widths, in order."""
        return self._inputs

    @property
    def sizes(self) -> tuple[int, ...]:
        """``(in_features, ..., out_features)``: the input's, and after each layer."""
        return self._sizes

    @property
    def in_features(self) -> int:
        """Length of an input sample."""
        return self._sizes[0]

    @property
    def out_features(self) -> int:
        """Length of an output sample."""
        return self._sizes[-1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
        return self._dtype

    @property
    def precision(self) -> PrecisionName:
        """How exactly products are computed, as `with_precision` has it."""
        return self._precision

    @property
    def num_parameters(self) -> int:
        """Number of weights, biases, of dense layers and of norms, and of parameters by unit."""
        return sum(leaf._num_parameters() for _, leaf in walk(self._layers))

    def prepare(self, batch: int = 1, derivatives: bool = False) -> Self:
        """Do now what the first call would do besides its work, and return the network.

        The first call of a network takes longer than those after it: it packs the weights for the
        back end in use, starts the threads that take part, loads BLAS if that is the back end, and
        asks for the memory that it works in. After `prepare`, that of `batch` samples or fewer need
        not; its results are the same.

        Parameters
        ----------
        batch : int, default 1
            The most samples that calls will come with. With 0 the weights are packed and no more.
        derivatives : bool, default False
            Whether to prepare `jacobian`, `vjp`, `jvp`, `gradients` and their like besides.

        Returns
        -------
        MLP
            The network itself: ``net = ln.load(path).prepare(64)``.

        Raises
        ------
        ValueError
            If `batch` is less than 0, or so large that no memory holds it.
        TypeError
            If `batch` is not an integer, or `derivatives` neither True nor False.
        MemoryError
            If there is no memory for it.

        Notes
        -----
        No result depends on it: what has not been prepared, a call makes, as where the back end is
        another one later (``ln.set_backend``) or more threads may work. Packed weights are the
        network's, in every thread and in a child of ``fork()``. Memory to work in belongs to a
        thread: to the one that calls `prepare`, and to those of laminet's that come within a tenth
        of a second. It may be called at any time, from any number of threads; Ctrl-C ends it. A
        copy or a pickle of the network is not prepared.

        **Memory.** The weights exist once from the start, as they were given: `layers` shows them.
        What else there is of them `summary` says in bytes:

        - packed for the tiled back end, from the first call on (none with BLAS);
        - packed once more for the way back, transposed, from the first call of `vjp`, `gradients`
          or a Jacobian multiplied out from the outputs on (none with BLAS).

        They stay as long as the network. Packed weights take some more than the others: the last
        outputs fill up a register tile, and from 512 KiB on the memory is whole pages of 2 MiB.

        Examples
        --------
        >>> import numpy as np, laminet as ln
        >>> net = ln.MLP.init([17, 64, 64, 6], "tanh", seed=0).prepare()
        >>> net(np.zeros(17)).shape
        (6,)
        """
        inside = (leaf for _, leaf in walk(self._layers) if isinstance(leaf, Dense))
        widths = (*self.sizes, *(leaf.out_features for leaf in inside))
        samples = as_batch(batch, largest_batch(widths), least=0)
        if not isinstance(derivatives, (bool, np.bool_)):
            raise TypeError(f"derivatives must be True or False, got {shown(derivatives)}")
        self._core.prepare(samples)
        if derivatives:
            self._derivatives.prepare(samples)
        return self

    def trace(self, x: ArrayLike) -> Trace:
        """Run the network and keep what every layer computes.

        Parameters
        ----------
        x : array_like of shape (in_features,) or (batch, in_features)

        Returns
        -------
        Trace
            ``.pre_activations`` [Z_1 .. Z_L] of the dense layers, ``.activations`` [A_0 .. A_L],
            the input and what each of `layers` gives, and ``.output`` (the same bits as ``net(x)``:
            A_L, or the head of A_L where the network has one), all of the network's dtype;
            printed, it shows the shapes.

        Raises
        ------
        ValueError, TypeError
            As ``net(x)`` does.
        """
        if not is_chain(self):
            return trace_by_layer(self, x)
        activations, pre_activations, output = self._core.trace(x)
        return Trace(pre_activations, activations, output, self._layers, self._head)

    def predict(self, x: ArrayLike) -> Any:
        """Return what the outputs say of each sample: a label, labels, or numbers.

        Parameters
        ----------
        x : array_like of shape (in_features,) or (batch, in_features)

        Returns
        -------
        label, or ndarray of shape (batch,)
            With `Classes`: the label of the largest output, the first of equal ones; of one output
            the second label where its probability is above 1/2. Of the labels' dtype.
        ndarray of int64 and shape (out_features,) or (batch, out_features)
            With `Labels`: 1 where the probability is above 1/2, else 0.
        number, or ndarray of shape (batch,) or (batch, out_features)
            With `Quantities`: the outputs, without their axis where there is one.
        numpy.intp, or ndarray of shape (batch,) and that dtype
            Without `outputs`, the index of the largest of several logits.

        Raises
        ------
        ValueError
            If nothing tells what the outputs stand for; it says what to write. If an output is NaN,
            which has no label; it names the samples. Otherwise, as TypeError, as ``net(x)`` does.

        Examples
        --------
        >>> import laminet as ln
        >>> net = ln.MLP([ln.Dense([[1.0], [-1.0]])], outputs=ln.Classes(["up", "down"]))
        >>> print(net.predict([[3.0], [-2.0]]), net.predict([3.0]))
        ['up' 'down'] up
        """
        return (self._outputs or UNSTATED).predict(self, x)

    def predict_proba(self, x: ArrayLike) -> Array:
        """Return probabilities: of each class, or of each label.

        The softmax of the last layer, taken as logits: ``exp(a - max) / sum``; with `Classes` of
        one output ``[1 - p, p]``; with `Labels` the sigmoid of each logit. A head or a sigmoid that
        the network has is not applied twice: with the head "softmax" this is ``net(x)``.

        Parameters
        ----------
        x : array_like of shape (in_features,) or (batch, in_features)

        Returns
        -------
        ndarray of shape (n,) or (batch, n)
            Of the network's dtype, n the number of labels. Those of classes sum to 1, for logits of
            any finite size.

        Raises
        ------
        ValueError
            If the outputs have no probabilities, or nothing tells what they stand for; it says what
            to write. Otherwise, as TypeError, as ``net(x)`` does.
        """
        return (self._outputs or UNSTATED).predict_proba(self, x)

    def predict_log_proba(self, x: ArrayLike) -> Array:
        """Return the logarithms of `predict_proba`: ``a - max - log(sum(exp(a - max)))``.

        A head is not applied besides, and no logarithm is taken of rounded probabilities.

        Parameters
        ----------
        x : array_like of shape (in_features,) or (batch, in_features)

        Returns
        -------
        ndarray of shape (n,) or (batch, n)
            Of the network's dtype. Finite where the differences of logits are, also where
            `predict_proba` underflows to 0.

        Raises
        ------
        ValueError, TypeError
            As `predict_proba` does.
        """
        return (self._outputs or UNSTATED).predict_log_proba(self, x)

    def astype(self, dtype: DTypeLike) -> Self:
        """Return the network with its weights rounded to `dtype`.

        Parameters
        ----------
        dtype : {"float32", "float64"}

        Returns
        -------
        MLP
            The network itself where it has that dtype already: networks never change.

        Raises
        ------
        ValueError
            If `dtype` is another one, or a weight, a bias or a parameter of an activation does not
            fit it.
        """
        target = as_dtype(dtype)
        if target == self.dtype:
            return self
        return self._like(self._layers, dtype=target)

    def with_precision(self, precision: PrecisionName) -> Self:
        """Return the network with its products computed in another precision.

        Parameters
        ----------
        precision : {"float32", "float64", "bfloat16_weights", "bfloat16"}
            With "bfloat16_weights" the weights of dense layers are rounded to bfloat16, to the
            nearest number and of two as near to the even one, and stored so; all else is as it was:
            inputs, outputs, biases and what is computed are float32. With "bfloat16" so is, in
            each dense layer, what the weights are multiplied by; inputs and outputs of the network,
            sums, biases and activations are float32 still. The other two are those of the dtype.

        Returns
        -------
        MLP
            The network itself where it has that precision already.

        Raises
        ------
        ValueError
            If there is no such precision, it is of networks of another dtype, or a weight is so
            large that bfloat16 has no number for it.
        TypeError
            If `precision` is not a str.

        Notes
        -----
        bfloat16 has the exponents of float32 and 8 bits of precision [1]_: a number moves by at
        most ``2**-8`` of itself, where that is above ``2**-126``. `compare_precision` says what
        that does to the outputs. `layers` shows the rounded weights, as float32; files and pickles
        hold two bytes of each.

        The results of "bfloat16_weights" are those of a network of float32 with the rounded
        weights, bit for bit, in every instruction set. Half of the bytes are read, which counts
        where reading weights is what takes the time: single samples and small batches of networks
        that no cache next to the core holds.

        "bfloat16" is for batches, on CPUs that have AVX512_BF16 (Zen 4, Sapphire Rapids and later):
        its instruction makes twice the products. Others compute the same bits without it, no
        faster than in float32: each sum takes its products in order, by fused multiply-adds of
        float32 to which subnormal numbers are zero, as they are to the instruction [2]_. That is
        of the back end "tiled"; "blas" rounds the same numbers, and sums them in its own order.

        Derivatives are computed in float32. They are those of the network with the rounded weights,
        at what it computes: the derivative of rounding is taken to be 1, where it is 0 and, at
        steps, infinite; the gradient of a weight is a sum of what it was multiplied by, rounded
        numbers. `laminet.reference` says all of it in NumPy (``precision=``). A network that is
        trained begins with the rounded weights, and is float32.

        What has been rounded stays so: back in "float32", or in float64, the weights are the
        rounded ones.

        References
        ----------
        .. [1] "BFLOAT16 - Hardware Numerics Definition", Intel 2018.
        .. [2] "Intel 64 and IA-32 Architectures Software Developer's Manual", volume 2, VDPBF16PS.

        Examples
        --------
        >>> import laminet as ln
        >>> net = ln.MLP.init([784, 256, 10], seed=0).with_precision("bfloat16_weights")
        >>> net
        MLP(784 -> 256 relu -> 10 identity, float32, bfloat16 weights, 203530 parameters)
        """
        target = as_precision(precision_named(precision), self._dtype)
        if target == self._precision:
            return self
        return self._like(self._layers, precision=target)

    def with_outputs(self, outputs: Outputs | None) -> Self:
        """Return the network with another meaning of its outputs.

        Parameters
        ----------
        outputs : Quantities, Classes, Labels or None

        Returns
        -------
        MLP
            Everything else is as it was.

        Raises
        ------
        ValueError
            If the outputs cannot stand for that.
        TypeError
            If `outputs` is something else.

        Examples
        --------
        >>> import laminet as ln
        >>> net = ln.MLP.init([4, 8, 1], seed=0).with_outputs(ln.Classes(["no", "yes"]))
        >>> net
        MLP(4 -> 8 relu -> 1 identity, float32, 49 parameters, classes: 'no', 'yes')
        """
        return self._like(self._layers, outputs=as_outputs(outputs))

    def _like(self, layers: Iterable[Layer], **changed: Any) -> Self:
        """Return a network of the same class with other layers, and what else is `changed`."""
        again = type(self).__new__(type(self))
        arguments = {**self._described(), **changed}
        if "dtype" in changed and "precision" not in changed:
            arguments["precision"] = None
        MLP.__init__(again, layers, **arguments)
        again.__setstate__(added_state(self, MLP))
        return again

    def _described(self) -> dict[str, Any]:
        """Return all that a network is beside its layers, as arguments of MLP."""
        return {
            "head": self._head,
            "outputs": self._outputs,
            "feature_names": self._feature_names,
            "inputs": self._inputs,
            "in_features": self.in_features,
            "dtype": self._dtype.name,
            "precision": self._precision,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to a safetensors file, complete or not at all; see `laminet.load`.

        Parameters
        ----------
        path : str or os.PathLike
            Replaced where it exists.

        Raises
        ------
        OSError
            If the file cannot be written; what was there before is then still there.

        Notes
        -----
        A process that is killed meanwhile leaves a hidden file, ``.NAME.*.laminet.tmp``, which the
        next save into that directory deletes.
        """
        hooks.save(self, path)

    def summary(self) -> Summary:
        """Return the layers: shapes, activation, parameters, FLOPs; and what memory they take.

        Returns
        -------
        Summary
            ``.layers``, ``.parameters``, ``.flops`` of one sample, and ``.memory``: the copies of
            the weights that there are now and would be once prepared (see `prepare`); printed, two
            tables.

        Notes
        -----
        Layers within layers are rows of their own, each with its place: ``3.2`` is the second layer
        within the third, a `Residual`; ``3.2.1`` the first of the second branch of a `Parallel`,
        and ``3.*.1`` the first of all branches, which run as one as they are equal. An `Activation`
        that follows a layer without a function is part of it: ``1, 2``.
        """
        found: Summary = hooks.summary(self)
        return found

    def plan(self, batch: int = 1) -> Plan:
        """Return how a batch would run now: back end, register tiles, blocks, split and threads.

        The number of threads may change with time, as it follows what handing work over costs now
        and the CPUs that are allowed now; on the tiled back end no bit of a result depends on it.

        Parameters
        ----------
        batch : int
            Samples in the batch, 1 or more.

        Returns
        -------
        Plan
            ``.layers`` (``.tile``, ``.tail_tile``, ``.block_rows``, ``.block_columns``,
            ``.block_depth``, ``.split``, ``.threads``), ``.backend``, ``.isa``, ``.split``,
            ``.threads``; printed, a table. A layer is a step that runs, in order, but for the head;
            its place is that of `summary`.

        Raises
        ------
        ValueError
            If `batch` is less than 1, or so large that no memory holds it.
        TypeError
            If `batch` is not an integer.
        """
        samples = as_batch(batch, largest_batch(self.sizes))
        return plan_of(self._core.plan(samples), program_of(self).before_head, samples)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MLP):
            return NotImplemented
        if type(self) is not type(other):
            return False
        return self._layers == other._layers and self._described() == other._described()

    def __hash__(self) -> int:
        return hash(_content(self._digest_of_arrays(), self._layers, self._described()))

    def _digest_of_arrays(self) -> bytes:
        if self._digest is None:
            self._digest = digest(a for _, leaf in walk(self._layers) for a in leaf._arrays())
        return self._digest

    def __reduce__(self) -> tuple[Any, ...]:
        layers = self._layers
        if self._precision != self._dtype.name:
            layers = tuple(layer._mapped(_by_halves) for layer in layers)
        arguments = type(self), layers, self._described()
        if type(self) is not MLP:
            return _restored, arguments, added_state(self, MLP) or None
        key = _content(self._digest_of_arrays(), *arguments[1:])
        if may_be_shared(key):
            interned(key, self)
        return _restored, (*arguments, self._digest)

    def __copy__(self) -> Self:
        # Of attributes that a subclass has, the copy has its own.
        return self if type(self) is MLP else self._like(self._layers)

    def __repr__(self) -> str:
        head = f" -> {self._head}" if self._head else ""
        parts = [
            f"{self.in_features} -> {brief(self._layers)}{head}",
            str(self.dtype),
            *([] if self._precision == self._dtype.name else [self._precision.replace("_", " ")]),
            f"{self.num_parameters} parameters",
        ]
        if self._inputs is not None:
            parts.append("inputs: " + " + ".join(f"{name} {width}" for name, width in self._inputs))
        if self._outputs is not None:
            parts.append(self._outputs.described())
        return f"{type(self).__name__}({', '.join(parts)})"

    def _repr_html_(self) -> str:
        layers = self.summary().tables()[0]
        return hooks.html([replace(layers, title=repr(self))], [])


def _features(layers: Sequence[Layer], in_features: int | None) -> int:
    """Return how many features layers take, as they or the argument say; both may."""
    if in_features is not None:
        said = as_count(in_features, "in_features")
        require_width(said, "in_features is")
        return said
    if (features := taken(layers)) is None:
        raise ValueError(
            "the layers do not say how many features the network takes; say in_features=..."
        )
    return features


def _giver(in_features: int | None) -> str:
    """Return how messages name where the features of the first layer come from."""
    return "the input has" if in_features is None else "in_features is"


def _widest(layers: Sequence[Layer]) -> np.dtype[Any]:
    wide = any(leaf.dtype == np.float64 for _, leaf in walk(layers))
    return np.dtype(np.float64 if wide else np.float32)


def _owned(leaf: Layer, dtype: np.dtype[Any]) -> Layer:
    """Return a layer with arrays of its own, of a network's dtype."""
    function = leaf.activation if isinstance(leaf, Dense) else leaf
    if isinstance(function, Activation):
        function._require_finite(dtype)
    # Of a dense layer the core makes the copy.
    kept = isinstance(leaf, Dense) and (leaf.dtype == dtype or dtype == np.float64)
    return leaf if kept else leaf._rounded(dtype)


def _beyond_bfloat16(layers: Sequence[Layer]) -> str | None:
    """Return where the first weight stands that is finite and that bfloat16 has no number for."""
    for place, leaf in walk(layers):
        if isinstance(leaf, Dense):
            sizes = np.abs(leaf.weight)
            if (np.isfinite(sizes) & (sizes >= 2.0**128 * (1 - 2.0**-9))).any():
                return place
    return None


def _by_halves(leaf: Layer) -> Layer:
    return leaf._by_halves() if isinstance(leaf, Dense) else leaf


def _content(bits: bytes, layers: Sequence[Layer], described: dict[str, Any]) -> tuple[Any, ...]:
    """Return what equal networks have equal, a digest of all arrays among it; it has a hash."""
    return bits, tuple(layer._structure() for layer in layers), *described.values()


def _restored(
    kind: type[MLP], layers: Sequence[Layer], described: dict[str, Any], bits: bytes | None = None
) -> MLP:
    """Return a network of a class whose ``__init__`` may take other arguments.

    With a digest of its arrays it is the one that this process has, if it has one.
    """
    key = None if bits is None else _content(bits, layers, described)
    if key is not None and not may_be_shared(key):
        key = None
    if key is not None and (there := known(key)) is not None:
        if there._layers == tuple(layers) and there._described() == described:
            return there
        key = bits = None  # the digest is not that of the arrays
    net = kind.__new__(kind)
    MLP.__init__(net, layers, **described)
    net._digest = bits
    return net if key is None else interned(key, net)
