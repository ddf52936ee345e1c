"""Running a module of PyTorch without a trace: what it changes in itself is put back."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

__all__ = ["refuse_unready", "tensors_of", "untouched", "unwrapped", "where"]

# Modules that stand around another and compute what it does.
_WRAPPERS = {
    "OptimizedModule": "_orig_mod",
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "AveragedModel": "module",
}
# Forward pre-hooks of PyTorch's own, which compute a weight anew before each call.
_WEIGHT_HOOKS = ("WeightNorm", "SpectralNorm", "BasePruningMethod")


def unwrapped(module: Any) -> Any:
    """Return the module within those that compile or distribute it."""
    while type(module).__module__.startswith("torch.") and type(module).__name__ in _WRAPPERS:
        module = getattr(module, _WRAPPERS[type(module).__name__])
    return module


def where(name: str, module: Any) -> str:
    """Return what a part of a module is called in messages."""
    kind = type(module)
    quantized = kind.__module__.startswith("torch.ao.")  # where a Linear is another one
    shown = f"{kind.__module__}.{kind.__name__}" if quantized else kind.__name__
    return f"{name or 'the module'} ({shown})"


def tensors_of(module: Any) -> list[Any]:
    """Return the parameters and buffers, and the constants of a frozen TorchScript module."""
    import torch

    tensors = [*module.parameters(), *module.buffers()]
    if not tensors and isinstance(module, torch.jit.ScriptModule):
        graph = module.inlined_graph
        for node in graph.findAllNodes("prim::Constant"):
            if node.hasAttribute("value") and node.kindOf("value") == "t":
                tensors.append(node.t("value"))
    return tensors


def refuse_unready(module: Any) -> None:
    """Refuse a module whose parts have no weights, or whose hooks may change what it computes.

    Raises
    ------
    ValueError
        Names the part.
    """
    import torch

    everywhere = torch.nn.modules.module
    for register in ("_global_forward_hooks", "_global_forward_pre_hooks"):
        if getattr(everywhere, register, None):
            raise ValueError(
                "a forward hook is registered for all modules, and may change what they compute: "
                "remove it"
            )
    for name, part in module.named_modules():
        at = where(name, part)
        if isinstance(part, torch.nn.modules.lazy.LazyModuleMixin):
            raise ValueError(f"{at} has no weights yet: it has seen no input; call the module once")
        if isinstance(part, torch.jit.ScriptModule):
            continue
        own = _weight_hooks(part)
        hooks = [*part._forward_hooks.values(), *part._forward_pre_hooks.values()]
        if any(_is_foreign(hook, own) for hook in hooks):
            raise ValueError(
                f"{at} has forward hooks, which may change what it computes: remove them"
            )
        if part.training and any(type(hook).__name__ == "SpectralNorm" for hook in own):
            raise ValueError(f"{at} changes its weight at each call in training mode: call eval()")
        parametrizations = getattr(part, "parametrizations", None)
        # A program's graph is what it was exported as: its modules say nothing of a mode.
        exported = type(module).__name__ == "GraphModule" or not hasattr(part, "forward")
        stateful = parametrizations is not None and list(parametrizations.buffers())
        if part.training and stateful and not exported:
            raise ValueError(f"{at} is parametrized and in training mode: call eval() first")


def _weight_hooks(part: Any) -> list[Any]:
    return [
        hook
        for hook in part._forward_pre_hooks.values()
        if any(
            base.__module__.startswith("torch.nn.utils.") and base.__name__ in _WEIGHT_HOOKS
            for base in type(hook).__mro__
        )
    ]


def _is_foreign(hook: Any, weight_hooks: list[Any]) -> bool:
    """Whether a hook is none of PyTorch's own: torch.export's check the shapes of inputs."""
    ours = str(getattr(hook, "__module__", "")).startswith("torch.export.")
    return not ours and not any(hook is known for known in weight_hooks)


@contextmanager
def untouched(module: Any) -> Iterator[None]:
    """Put back, at the end, all that a module changed in itself and its parts, and the generator.

    Within, it runs without gradients and warnings, and is not compiled.
    """
    import torch

    saved = [
        (container, container.copy())
        for part in module.modules()
        for container in (vars(part), *vars(part).values())
        if isinstance(container, (dict, list))
    ]
    values = [(t, t.detach().clone()) for t in tensors_of(module) if not t.is_meta]
    distribution = torch.distributions.Distribution
    validates = distribution._validate_args
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(torch.random.fork_rng(devices=[]))
        stack.enter_context(warnings.catch_warnings())
        stack.enter_context(torch.jit.optimized_execution(False))  # no operations are fused
        if "torch._dynamo" in sys.modules and hasattr(torch.compiler, "set_stance"):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        warnings.simplefilter("ignore")  # what a forward warns of was said to who wrote it
        try:
            # A distribution would decide by the values that it is given whether they are valid.
            distribution.set_default_validate_args(False)
            yield
        finally:
            distribution.set_default_validate_args(validates)
            for container, content in reversed(saved):
                _restore(container, content)
            for tensor, before in values:
                same = (tensor == before) | ((tensor != tensor) & (before != before))
                if not same.all():
                    tensor.data.copy_(before)


def _restore(container: Any, content: Any) -> None:
    if isinstance(container, list):
        if len(container) != len(content) or any(
            a is not b for a, b in zip(container, content, strict=True)
        ):
            container[:] = content
        return
    for key in [key for key in container if key not in content]:
        del container[key]
    for key, value in content.items():
        if key not in container or container[key] is not value:
            container[key] = value
