"""`from_torch`: a network from a module of PyTorch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.core.floating_point import silent
from laminet.core.initialization import as_dtype
from laminet.core.mlp import MLP
from laminet.core.outputs import as_outputs
from laminet.interop.pytorch.live import Live, live
from laminet.interop.pytorch.modules import MODULES
from laminet.interop.pytorch.running import Result, check, key_of, read
from laminet.interop.pytorch.shapes import input_shapes, other_shapes
from laminet.interop.pytorch.untouched import refuse_unready, untouched, where
from laminet.interop.symbolic.network import network_of_several
from laminet.interop.symbolic.value import Value

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from laminet.core.outputs import Outputs

__all__ = ["from_torch"]


@silent
def from_torch(
    module: Any,
    *,
    output: int | str | tuple[int | str, ...] | None = None,
    in_features: int | Sequence[int] | Mapping[str, int] | None = None,
    outputs: Outputs | None = None,
    dtype: DTypeLike | None = None,
) -> MLP:
    """Return the network that computes what a PyTorch module does.

    Parameters
    ----------
    module : torch.nn.Module, torch.jit.ScriptModule, torch.fx.GraphModule or ExportedProgram
        However it is written: ``Linear`` and its functional forms, products with stacks of matrices
        as ensembles have them (``bmm``, ``baddbmm``, ``einsum``, ``vmap``), ``BatchNorm1d`` and
        ``Dropout`` in eval mode, ``LayerNorm`` and ``RMSNorm`` (spelled out too), every activation
        that laminet has (spelled out too; ``PReLU``, and gates by parameters), heads ``Softmax``
        and ``LogSoftmax``, arithmetic and bounds with numbers or one number for each feature,
        slices and joins of features, sums and means of results, of features and of stacks.
        Compiled and distributed modules, weight and spectral normalisation, other parametrisations
        and pruning are read as what they compute.
    output : int, str or tuple of these, optional
        Which result is the network's, where the module returns several: an index, a key, or the
        name of an attribute; a tuple goes from one to the next within it. By default all of them,
        side by side: `Quantities`, by their names where these are not indices.
    in_features : int, sequence or mapping of int, optional
        The number of features of the input, or of each input, where the weights do not say.
    outputs : Quantities, Classes or Labels, optional
        What the outputs stand for.
    dtype : {"float32", "float64"}, optional
        By default float64 where a parameter is, else float32: float16 and bfloat16 parameters are
        taken over exactly, and computed with in float32.

    Returns
    -------
    MLP
        ``net(x)`` equals ``module(x)`` but for rounding; its samples and its outputs have one axis,
        flattened in C order; where samples are the second of three axes or more, as in a stack of
        members' results, they are the first of the network's. Several inputs are one, side by side
        in the order of ``forward``'s arguments. Weights are copied, bit for bit where nothing is
        folded into them.

    Raises
    ------
    TypeError
        If `module` is none of those above.
    ValueError
        If a part of it is none of that, such as a product of two results (gates, attention), with
        the part's name and the reason.

    Notes
    -----
    The module is read in the mode that it is in: what draws at random or normalises by its batch in
    training mode is refused until ``eval()`` is called.

    What is more than a ``Sequential`` of layers is run on a few random samples, without gradients;
    each operation that PyTorch carries out is read, and the module is refused where its answers
    to other samples disagree with the network. Whatever it changes in itself is put back.
    A module that leaves the last columns of its input alone becomes a network without them.

    A BatchNorm1d or a scale is folded into the layer beside it: multiplied out in float64 and
    rounded once. ``Softplus`` is the exact function also above its threshold, from which on PyTorch
    takes x itself (2e-9 less at 20).

    Examples
    --------
    >>> import torch, laminet as ln
    >>> module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    >>> net = ln.from_torch(module.eval())
    >>> net
    MLP(3 -> 4 tanh -> 2 identity, float32, 26 parameters)
    """
    model = live(module)
    import torch

    refuse_unready(model.module)
    stated = as_outputs(outputs)
    wide = any(t.dtype == torch.float64 for t in model.tensors)
    target = as_dtype(("float64" if wide else "float32") if dtype is None else dtype)
    with untouched(model.module):
        net = _network(model, target, output, in_features)
    return net if stated is None else net.with_outputs(stated)


def _network(model: Live, dtype: Any, output: Any, in_features: Any) -> MLP:
    if output is None and in_features is None and _is_plain(model.module):
        value = _module(model.module, Value.input(_first_width(model.module)), "")
        return _made({"": value}, dtype)
    if any(t.is_meta for t in model.tensors):
        raise ValueError("the module has no values yet: its tensors are on the meta device")
    try:
        model, shapes, samples = input_shapes(model, in_features)
    except ValueError as error:
        unknown = next(_unknown(model.module), None)
        if unknown is None:
            raise
        raise ValueError(f"{unknown}, and {error}") from error
    results = read(model, shapes, samples, output, dtype)
    widths = [int(np.prod(shape)) for shape in shapes]
    inputs = list(zip(model.names, widths, strict=True))
    if in_features is None and (other := other_shapes(model, shapes, samples)) is not None:
        # Where one input ends and the next begins is not known: it must not matter.
        inputs = []
        if _of(read(model, other, samples, output, dtype), dtype) != _of(results, dtype):
            raise ValueError(
                f"the inputs {', '.join(model.names)} may have several widths, and the network "
                f"differs with them: say them with in_features=({', '.join(['...'] * len(shapes))})"
            )
        results = read(model, shapes, samples, output, dtype)
    net = _of(results, dtype, inputs)
    check(model, net, shapes, samples, output, results)
    return net


def _of(results: Mapping[str, Result], dtype: Any, inputs: Sequence[tuple[str, int]] = ()) -> MLP:
    named = not all(part.isdigit() for name in results for part in name.split("."))
    values = {name: result.value for name, result in results.items()}
    return _made(values, dtype, inputs=inputs, named=named)


def _made(values: Mapping[str, Value], dtype: Any, **options: Any) -> MLP:
    try:
        return network_of_several(values, dtype, **options)
    except ValueError as error:
        example = next(iter(values))
        several = f": output={key_of(example)} reads one of them" if len(values) > 1 else ""
        raise ValueError(f"the output: {error}{several}") from None


# --- Modules whose parts are all known ----------------------------------------------------------


def _module(module: Any, x: Value, name: str) -> Value:
    """Return what a module makes of x, without running it."""
    kind = _known(module)
    if kind is None:
        # Not named_children(), which leaves out a module that comes twice.
        for child_name, child in module._modules.items():
            x = _module(child, x, f"{name}.{child_name}" if name else child_name)
        return x
    try:
        return MODULES[kind](module, x)
    except ValueError as error:
        raise ValueError(f"{where(name, module)}: {error}") from None


def _is_plain(module: Any) -> bool:
    """Whether a module is nothing but layers that MODULES has, one after the other."""
    if _known(module) is not None:
        return not module._forward_pre_hooks and not hasattr(module, "parametrizations")
    return _is_sequential(module) and all(_is_plain(part) for part in module._modules.values())


def _is_sequential(module: Any) -> bool:
    import torch

    return _runs_as(module, torch.nn.Sequential)


def _runs_as(module: Any, kind: type) -> bool:
    """Whether calling a module is what calling one of that class is."""
    import torch

    return (
        isinstance(module, kind)
        and not isinstance(module, torch.jit.ScriptModule)
        and type(module).forward is kind.forward  # type: ignore[attr-defined]  # a Module
        and type(module).__call__ is torch.nn.Module.__call__
        and "forward" not in vars(module)
    )


def _known(module: Any) -> str | None:
    """Return the name under which MODULES has the module; None if it has another forward."""
    for base in type(module).__mro__:
        if base.__name__ in MODULES and base.__module__.startswith("torch.nn.modules"):
            return base.__name__ if _runs_as(module, base) else None
    return None


def _first_width(module: Any) -> int | None:
    """Return how many features the first layer that says so takes."""
    for part in module.modules():
        for attribute in ("in_features", "num_features"):
            if isinstance(getattr(part, attribute, None), int):
                return int(getattr(part, attribute))
        shape: tuple[int, ...] = getattr(part, "normalized_shape", ())
        if len(shape) == 1:
            return int(shape[0])
    return None


def _unknown(module: Any) -> Iterator[str]:
    """Yield the parts of PyTorch's that no network here has."""
    for name, part in module.named_modules():
        own = type(part).__module__.startswith(("torch.nn.modules.", "torch.ao."))
        container = _is_sequential(part) or type(part).__name__ in ("ModuleList", "ModuleDict")
        if own and not container and _known(part) is None:
            yield f"{where(name, part)} is no layer of a network that laminet knows"
