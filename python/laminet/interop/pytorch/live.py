"""What can be run and read, with its inputs: modules, TorchScript, programs of torch.export."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from laminet.interop.origin import is_of
from laminet.interop.pytorch.untouched import tensors_of, unwrapped

__all__ = ["Live", "live"]


@dataclass(frozen=True)
class Live:
    """A module that can be run.

    Attributes
    ----------
    module : torch.nn.Module
    names : tuple of str
        Of the inputs that it must be given.
    shapes : tuple of shapes, or None
        Of one sample of each input, where the module says so.
    samples : tuple of int
        Numbers of samples that it may be run on, the first that works.
    call : callable
        Runs it on a list of tensors.
    dtype : torch.dtype
        Of its inputs.
    """

    module: Any
    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...] | None
    samples: tuple[int, ...]
    call: Callable[[Sequence[Any]], Any]
    dtype: Any

    @property
    def tensors(self) -> list[Any]:
        """Its parameters, buffers and constants."""
        return tensors_of(self.module)

    @property
    def dtypes(self) -> list[Any]:
        """The types of real numbers that its inputs may have: those of its tensors."""
        found = [self.dtype, *(t.dtype for t in self.tensors if t.is_floating_point())]
        return list(dict.fromkeys(found))

    def inputs(
        self, shapes: Sequence[Sequence[int]], samples: int, scale: float = 1.0
    ) -> list[Any]:
        """Return random inputs, the same at each call."""
        import torch

        device = next((t.device for t in self.tensors), torch.device("cpu"))
        generator = np.random.default_rng(0)
        return [
            torch.from_numpy(scale * generator.standard_normal((samples, *shape))).to(
                device, self.dtype
            )
            for shape in shapes
        ]


def live(thing: Any) -> Live:
    """Return what `from_torch` was given as something that can be run.

    Raises
    ------
    TypeError
        If it is no module and no program.
    """
    if not is_of(thing, "torch"):
        raise _no_module(thing)
    import torch

    program = getattr(getattr(torch, "export", None), "ExportedProgram", ())
    if isinstance(thing, program):
        return _program(thing)
    if not isinstance(thing, torch.nn.Module):
        raise _no_module(thing)
    module = unwrapped(thing)
    dtype = next((t.dtype for t in tensors_of(module) if t.is_floating_point()), torch.float32)
    shapes = None
    if type(module) is torch.nn.Sequential and isinstance(
        getattr(module, "in_features", None), int
    ):
        shapes = ((module.in_features,),)  # as to_torch says
    return Live(module, _required(module), shapes, (3, 1), lambda tensors: module(*tensors), dtype)


def _no_module(thing: Any) -> TypeError:
    message = f"module must be a torch.nn.Module, got {_kind(thing)}"
    if isinstance(thing, dict):
        message += ": a state dict holds weights and no steps between them"
    if isinstance(thing, (dict, str, os.PathLike)):
        message += "; of a file ln.load(path, activations=[...]) reads it"
    return TypeError(message)


def _kind(thing: Any) -> str:
    return f"the class {thing.__name__}" if isinstance(thing, type) else type(thing).__name__


def _required(module: Any) -> tuple[str, ...]:
    """Return the names of the inputs that must be given."""
    import torch

    if isinstance(module, torch.jit.ScriptModule):
        if not hasattr(module, "forward"):
            raise ValueError("the module has no forward: read one of the modules that it holds")
        arguments = module.forward.schema.arguments[1:]
        return tuple(a.name for a in arguments if not a.has_default_value())
    parameters = list(inspect.signature(module.forward).parameters.values())
    names = [
        p.name for p in parameters if p.default is p.empty and p.kind <= p.POSITIONAL_OR_KEYWORD
    ]
    if not names and any(p.kind != p.KEYWORD_ONLY and p.kind != p.VAR_KEYWORD for p in parameters):
        names = [parameters[0].name]  # one with a default, or *args
    return tuple(names)


def _program(program: Any) -> Live:
    """Return an exported program; its graph knows the shapes of its inputs."""
    import torch

    module = program.module()
    held = {n.name: n.meta.get("val") for n in program.graph.nodes if n.op == "placeholder"}
    user = list(program.graph_signature.user_inputs)
    names = tuple(u for u in user if isinstance(held.get(u), torch.Tensor))
    shapes = tuple(tuple(held[name].shape) for name in names)
    if any(len(shape) == 0 or not all(isinstance(n, int) for n in shape[1:]) for shape in shapes):
        raise ValueError(
            "the program has an input whose shape is not (batch, features): export it with the "
            "first dimension as the only dynamic one"
        )
    count = shapes[0][0] if shapes else 1
    samples = (count,) if isinstance(count, int) else (3, 8)

    def call(tensors: Sequence[Any]) -> Any:
        given = dict(zip(names, tensors, strict=True))
        flat = [given.get(u, u) if isinstance(u, str) else u for u in user]
        args, kwargs = torch.utils._pytree.tree_unflatten(flat, program.call_spec.in_spec)
        return module(*args, **kwargs)

    dtype = next((held[name].dtype for name in names), torch.float32)
    return Live(module, names, tuple(shape[1:] for shape in shapes), samples, call, dtype)
