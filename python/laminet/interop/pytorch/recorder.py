"""Watching a module of PyTorch run, and keeping what each tensor is of its input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from laminet.interop.pytorch.moves import BLIND, is_move, moved
from laminet.interop.pytorch.operations import OPERATIONS
from laminet.interop.pytorch.tensors import Comparison, Tracked

__all__ = ["Exits", "Recorder", "Stopped", "Unreadable"]

_RANDOM = (
    "draws random numbers (noise, or dropout in training mode): call eval() on the module first, "
    "or read the part of it that does not"
)
_ROUNDED = (
    "takes a result that was rounded to float32, and laminet computes in float64 throughout: leave "
    'out the conversion, or read it with dtype="float32"'
)
_ADVICE = "; a part of the module can be read by itself: from_torch(module.part)"
# They hand numbers to Python or to NumPy without an operation of PyTorch's.
_EXITS = frozenset(("__array__", "__dlpack__", "data_ptr", "numpy", "storage", "tolist"))
# What is said of operations that are often met.
_REASONS = {
    "argmax": "is no step of a network: laminet's predict() makes labels of its outputs",
}


class Stopped(Exception):  # noqa: N818 - no error of the module, but the end of reading it
    """A step after which a module cannot be followed."""


@dataclass(frozen=True)
class Unreadable:
    """A tensor that laminet cannot follow, and why."""

    reason: str


class Recorder(TorchDispatchMode):  # type: ignore[misc]  # torch is untyped here
    """Follows tensors through all that PyTorch does while it is entered.

    Parameters
    ----------
    narrow : torch.dtype or None
        The dtype of the parameters, where it is float16 or bfloat16.
    exact : bool
        Whether all is float64, so that what is float32 in between has been rounded.

    Attributes
    ----------
    parts : list of (str, module)
        Which modules are at work, the innermost last. Who runs the module keeps it.
    stopped : str or None
        Why the module could not be followed to its end.
    """

    def __init__(self, narrow: Any, *, exact: bool = False) -> None:
        super().__init__()
        self.parts: list[tuple[str, Any]] = []
        self.stopped: str | None = None
        self._narrow, self._exact = narrow, exact
        # Tensors are kept, so that neither their id() nor their memory is used for others.
        self._known: dict[int, tuple[Any, Any, int]] = {}
        self._writes: dict[int, int] = {}
        self._lost: dict[int, tuple[Any, str]] = {}

    def follow(self, tensor: Any, state: Any) -> None:
        """Say what a tensor is: a `Tracked`, a `Comparison` or `Unreadable`."""
        self._known[id(tensor)] = (tensor, state, self._writes.get(_memory(tensor), 0))

    def state(self, tensor: Any) -> Any:
        """Return what a tensor is; None if it does not depend on the input."""
        memory = _memory(tensor)
        if memory in self._lost:
            return Unreadable(self._lost[memory][1])
        if id(tensor) not in self._known:
            return None
        _, state, writes = self._known[id(tensor)]
        if writes != self._writes.get(memory, 0):
            return Unreadable("a result is changed in place through another view of it")
        return state

    def stop(self, reason: str) -> NoReturn:
        """Say why the module cannot be followed any further, and end its run."""
        self.stopped = self._at("", reason)
        raise Stopped

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Carry out an operation, and say what its results are."""
        kwargs = kwargs or {}
        name = func._schema.name.rpartition("::")[2]
        leaves, spec = tree_flatten((args, kwargs))
        states = [self.state(a) if isinstance(a, torch.Tensor) else None for a in leaves]
        known = [s for s in states if s is not None]
        if not known:
            result = func(*args, **kwargs)
            if torch.Tag.nondeterministic_seeded in func.tags:
                self._keep(result, Unreadable(self._at(name, _RANDOM)))
            return result
        in_place = name.endswith("_") and func._schema.is_mutable
        plain = name[:-1] if in_place else name
        if plain in BLIND:
            return func(*args, **kwargs)
        if not (plain in OPERATIONS or is_move(plain)) and func._can_decompose():
            with self:
                return func.decompose(*args, **kwargs)
        if not any("Tensor" in str(r.type) for r in func._schema.returns):
            self.stop("decides by values of the input what comes next")
        result = func(*args, **kwargs)
        after = next((s for s in known if isinstance(s, Unreadable)), None)
        if after is None:
            given = [a if s is None else s for a, s in zip(leaves, states, strict=True)]
            after = self._after(func, name, plain, tree_unflatten(given, spec), result)
            if self._exact and _widens(leaves, states, result):
                after = Unreadable(self._at(name, _ROUNDED))
        written = args[0] if in_place else kwargs.get("out")
        if written is None:
            self._keep(result, after)
        else:
            self._write(written, after, name)
        return result

    def _after(self, func: Any, name: str, plain: str, given: Any, result: Any) -> Any:
        """Return what the results of an operation are, given what its arguments are."""
        args, kwargs = given
        try:
            if is_move(plain):
                return moved(func, plain, args, kwargs, result, self._narrow)
            if plain not in OPERATIONS:
                return Unreadable(self._unknown(func, name))
            return OPERATIONS[plain](*args, **kwargs)
        except ValueError as error:
            return Unreadable(self._at(name, str(error)))
        except (TypeError, AttributeError):  # a comparison where a result is meant, for one
            return Unreadable(self._at(name, "is called in a way that laminet does not know"))

    def _keep(self, result: Any, after: Any) -> None:
        """Say what the results of an operation are."""
        tensors = tree_leaves(result)
        states = [after] * len(tensors) if isinstance(after, Unreadable) else tree_leaves(after)
        for tensor, state in zip(tensors, states, strict=True):
            if isinstance(tensor, torch.Tensor) and state is not None:
                self.follow(tensor, self._fitting(tensor, state))

    def _write(self, tensor: Any, after: Any, name: str) -> None:
        """Say what a tensor is after an operation wrote into it."""
        memory = _memory(tensor)
        if self.state(tensor) is None:  # what else lies there is not known
            reason = self._at(name, "writes results into a tensor that the module made")
            self._lost[memory] = (tensor, after.reason if isinstance(after, Unreadable) else reason)
            return
        self._writes[memory] = self._writes.get(memory, 0) + 1
        self.follow(tensor, self._fitting(tensor, after))

    def _fitting(self, tensor: Any, state: Any) -> Any:
        inner = state.tensor if isinstance(state, Comparison) else state
        if isinstance(inner, Tracked) and inner.shape != tuple(tensor.shape):
            return Unreadable("a step gives another shape than laminet knows of it")
        return state

    def _at(self, name: str, reason: str) -> str:
        """Return a reason with the part of the module where it arose."""
        step = name.strip("_")
        if not self.parts:
            return f"{step or 'the module'}: {reason}"
        part, module = self.parts[-1]
        where = f"{part or 'the module'} ({type(module).__name__})"
        if not step or type(module).__module__.startswith("torch.nn.modules."):
            return f"{where}: {reason}"
        return f"{where}, {step}: {reason}"

    def _unknown(self, func: Any, name: str) -> str:
        """Return what is said of an operation that no network here has."""
        if torch.Tag.nondeterministic_seeded in func.tags:
            return self._at(name, _RANDOM)
        part, module = self.parts[-1] if self.parts else ("", None)
        if type(module).__module__.startswith("torch.nn.modules."):
            return (
                f"{part} ({type(module).__name__}) is no layer of a network that laminet knows"
                f"{_ADVICE}"
            )
        reason = _REASONS.get(name, "is no step of a network that laminet knows")
        return self._at(name, reason + _ADVICE)


class Exits(TorchFunctionMode):  # type: ignore[misc]  # torch is untyped here
    """Stops a recorder where a result leaves PyTorch: what is made of it there is not seen."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Carry out a function, unless it hands out the numbers of a result."""
        name = getattr(func, "__name__", "")
        if name in _EXITS and self._recorder.state(args[0]) is not None:
            self._recorder.stop(f"hands results over to Python or NumPy ({name.strip('_')})")
        return func(*args, **(kwargs or {}))


def _widens(given: Sequence[Any], states: Sequence[Any], result: Any) -> bool:
    """Whether float64 is made of a result that is float32."""
    narrow = any(
        state is not None and tensor.dtype == torch.float32
        for tensor, state in zip(given, states, strict=True)
    )
    return narrow and any(
        isinstance(tensor, torch.Tensor) and tensor.dtype == torch.float64
        for tensor in tree_leaves(result)
    )


def _memory(tensor: Any) -> int:
    """Return a number that tensors of the same memory share."""
    address: int = tensor.untyped_storage().data_ptr() if tensor.layout == torch.strided else 0
    return address or -id(tensor)
