"""`from_torch`: a network from a module of PyTorch."""

from __future__ import annotations

import inspect
import warnings
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from laminet.initialization import as_dtype
from laminet.interop.pytorch.functionals import call
from laminet.interop.pytorch.modules import MODULES
from laminet.interop.pytorch.values import Value

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from laminet.mlp import MLP

__all__ = ["from_torch"]

_CHECKED_SAMPLES = 8


def from_torch(module: Any, *, dtype: DTypeLike | None = None) -> MLP:
    """Return the network that computes what a PyTorch module does.

    Parameters
    ----------
    module : torch.nn.Module
        A chain of dense layers: ``Sequential`` of any nesting, or a module whose ``forward``
        torch.fx traces to a chain. Parts may be ``Linear``, ``BatchNorm1d`` in eval mode, every
        activation that laminet has, ``Dropout``, ``Identity``, ``Flatten``, arithmetic with numbers
        and with one number for each feature, and, at the end, ``Softmax`` or ``LogSoftmax``, which
        becomes the network's head.
    dtype : {"float32", "float64"}, optional
        By default float64 where a parameter is, else float32: float16 and bfloat16 parameters are
        taken over exactly, and computed with in float32.

    Returns
    -------
    MLP
        ``net(x)`` equals ``module(x)`` but for rounding; its samples have one axis, flattened in C
        order. Weights are copied, bit for bit where nothing is folded into them.

    Raises
    ------
    TypeError
        If `module` is not a ``torch.nn.Module``.
    ValueError
        If a part of it is none of those above, with the part's name.

    Notes
    -----
    A BatchNorm1d or a scale is folded into the layer beside it: multiplied out in float64 and
    rounded once. ``Softplus`` is the exact function also above its threshold, from which on PyTorch
    takes x itself (2e-9 less at 20). A module that was traced by torch.fx is run once on random
    samples, without gradients, and refused where it disagrees with the network.
    """
    import torch

    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"module must be a torch.nn.Module, got {type(module).__name__}")
    _refuse_hooks(module)
    reader = _Reader()
    with torch.no_grad():
        value = reader.module(module, Value.input(), "")
    tensors = [*module.parameters(), *module.buffers()]
    wide = any(tensor.dtype == torch.float64 for tensor in tensors)
    target = as_dtype(("float64" if wide else "float32") if dtype is None else dtype)
    try:
        net = value.symbol.resolved().network(target, value.head)
    except ValueError as error:
        raise ValueError(f"the output: {error}") from None
    if reader.traced:
        _check(module, net, tensors)
    return net


def _refuse_hooks(module: Any) -> None:
    import torch

    for name, part in module.named_modules():
        where = _where(name, part)
        if isinstance(part, torch.nn.modules.lazy.LazyModuleMixin):
            raise ValueError(f"{where} has no weights yet: it has seen no input")
        if part._forward_hooks or part._forward_pre_hooks:
            raise ValueError(f"{where} has forward hooks, which may change what it computes")
        if part.training and hasattr(part, "parametrizations"):
            raise ValueError(f"{where} is parametrized and in training mode: call eval() first")


def _where(name: str, module: Any) -> str:
    return f"{name or 'the module'} ({type(module).__name__})"


class _Reader:
    """Reads modules, and remembers whether torch.fx had to help."""

    def __init__(self) -> None:
        self.traced = False

    def module(self, module: Any, x: Value, name: str) -> Value:
        """Return what a module makes of x."""
        import torch

        if type(module).forward is torch.nn.Sequential.forward:
            # Not named_children(), which leaves out a module that comes twice.
            for child_name, child in module._modules.items():
                x = self.module(child, x, f"{name}.{child_name}" if name else child_name)
            return x
        kind = _known(module)
        if kind is None:
            return self._trace(module, x, name)
        try:
            return MODULES[kind](module, x)
        except ValueError as error:
            raise ValueError(f"{_where(name, module)}: {error}") from None

    def _trace(self, module: Any, x: Value, name: str) -> Value:
        import torch

        where = _where(name, module)
        if type(module).__module__.partition(".")[0] == "torch":
            raise ValueError(f"{where} is not a part of a chain of dense layers that laminet knows")

        class Tracer(torch.fx.Tracer):  # type: ignore[misc]  # torch is untyped here
            def is_leaf_module(self, m: Any, module_qualified_name: str) -> bool:
                sequential = type(m).forward is torch.nn.Sequential.forward
                return _known(m) is not None or sequential or super().is_leaf_module(m, "")

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of defaults whose value torch.fx cannot assert
                graph = Tracer().trace(module, _defaults(module))
        except Exception as error:
            # Whatever a user's forward does when tensors have no values yet.
            raise ValueError(f"{where}: torch.fx cannot trace its forward: {error}") from error
        self.traced = True
        return self._graph(
            graph, dict(module.named_modules(remove_duplicate=False)), module, x, name
        )

    def _graph(self, graph: Any, parts: Any, module: Any, x: Value, name: str) -> Value:
        import torch

        known: dict[Any, Any] = {}
        # The placeholder of an argument with a default is named argument, underscore, number.
        defaults = _defaults(module)
        placeholders = [n for n in graph.nodes if n.op == "placeholder"]
        inputs = [n for n in placeholders if n.target.rpartition("_")[0] not in defaults]
        if len(inputs) != 1:
            raise ValueError(f"{_where(name, module)} takes {len(inputs)} inputs, not one")
        for node in graph.nodes:
            where = f"{name}.{node.name}" if name else node.name
            arguments = torch.fx.node.map_arg((node.args, node.kwargs), known.__getitem__)
            args, kwargs = arguments
            symbolic = any(isinstance(known.get(n), Value) for n in node.all_input_nodes)
            try:
                if node.op == "placeholder":
                    argument = node.target.rpartition("_")[0]
                    known[node] = x if node is inputs[0] else defaults[argument]
                elif node.op == "get_attr":
                    known[node] = _attribute(module, node.target)
                elif node.op == "output":
                    return _output(args[0])
                elif node.op == "call_module":
                    if len(args) != 1 or kwargs or not isinstance(args[0], Value):
                        raise ValueError("does not take one result of the chain")
                    target = f"{name}.{node.target}" if name else node.target
                    known[node] = self.module(parts[node.target], args[0], target)
                    continue
                elif symbolic or any(isinstance(a, Value) for a in args):
                    known[node] = call(_name(node), args, kwargs)
                elif node.op == "call_function":
                    known[node] = node.target(*args, **kwargs)
                else:
                    known[node] = getattr(args[0], node.target)(*args[1:], **kwargs)
            except Exception as error:  # of PyTorch, too: it runs what is no part of the chain
                if node.op == "call_module":
                    raise
                what = _name(node) if node.op.startswith("call") else node.op
                raise ValueError(f"{where} ({what}): {error}") from None
        raise ValueError(f"{_where(name, module)} has no output")


def _known(module: Any) -> str | None:
    """Return the name under which MODULES has the module; None if it has another forward."""
    for base in type(module).__mro__:
        if base.__name__ in MODULES and base.__module__.startswith("torch.nn.modules"):
            same: bool = type(module).forward is getattr(base, "forward", None)
            return base.__name__ if same else None
    return None


def _name(node: Any) -> str:
    return node.target if isinstance(node.target, str) else str(node.target.__name__)


def _defaults(module: Any) -> dict[str, Any]:
    """Return the arguments of forward that need not be given, with their defaults."""
    parameters = inspect.signature(module.forward).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def _attribute(module: Any, target: str) -> Any:
    for part in target.split("."):
        module = getattr(module, part)
    return module


def _output(value: Any) -> Value:
    if not isinstance(value, Value):
        kind = f"{len(value)} results" if isinstance(value, (tuple, list)) else "no result"
        raise ValueError(f"the forward returns {kind} that depend on the input, not one")
    return value


def _check(module: Any, net: MLP, tensors: list[Any]) -> None:
    """Refuse a traced module that gives another answer than the network."""
    import torch

    like = next((t for t in tensors if t.is_floating_point()), torch.empty(0))
    generator = np.random.default_rng(0)
    samples = generator.standard_normal((_CHECKED_SAMPLES, net.in_features))
    x = torch.from_numpy(samples).to(dtype=like.dtype, device=like.device)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            given = [module(x).detach().to("cpu", torch.float64).numpy() for _ in range(2)]
    except Exception as error:
        shape = tuple(x.shape)
        raise ValueError(
            f"the module cannot be run on samples of shape {shape}: {error}"
        ) from error
    if not np.array_equal(given[0], given[1], equal_nan=True):
        _disagree("it gives two answers to the same samples")
    ours = net(x.cpu().to(torch.float64).numpy()).astype(np.float64)
    if given[0].shape != ours.shape:
        _disagree(f"its answer has shape {given[0].shape}, the network's {ours.shape}")
    # No bound of rounding but a guard against another function: what torch.fx did not see.
    tolerance = min(max(4096 * torch.finfo(like.dtype).eps, 1e-6), 0.1)
    scale = max(1.0, float(np.nanmax(np.abs(given[0]), initial=0.0)))
    error_ = np.abs(given[0] - ours)
    if not (error_ <= tolerance * scale).all():
        _disagree(f"its answers differ from the network's by up to {float(error_.max()):.3g}")


def _disagree(what: str) -> NoReturn:
    raise ValueError(f"the module does more than torch.fx sees of it: {what}")
