"""Running a module of PyTorch: to read it, and to check what was read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from laminet.interop.pytorch.live import Live
from laminet.interop.pytorch.results import every, picked
from laminet.interop.pytorch.shapes import Shapes
from laminet.interop.pytorch.tensors import Tracked, numbered
from laminet.interop.symbolic.reading import Reading
from laminet.interop.symbolic.value import Value

if TYPE_CHECKING:
    from laminet.core.mlp import MLP

__all__ = ["check", "read", "read_all"]

_CHECKED_SAMPLES = 8


def read(model: Live, shapes: Shapes, samples: int, output: Any) -> Value:
    """Run a module once, and return what its output is of its inputs, put side by side.

    Raises
    ------
    ValueError
        If that is no chain of dense layers: with the part of the module, and the reason.
    """
    (value,) = _run(model, shapes, samples, Reading(), lambda r: {"": picked(r, output)}).values()
    return value


def read_all(model: Live, shapes: Shapes, samples: int, output: Any) -> dict[str, Value]:
    """Run a module once, and return what all its outputs are, by their names.

    Raises
    ------
    ValueError
        If something in it has no place in a network: with the part of the module, and the reason.
    """
    return _run(model, shapes, samples, Reading(blocks=True), lambda r: every(r, output))


def _run(
    model: Live,
    shapes: Shapes,
    samples: int,
    reading: Reading,
    taken: Callable[[Any], dict[str, Any]],
) -> dict[str, Value]:
    import torch

    from laminet.interop.pytorch.recorder import Exits, Recorder, Stopped

    narrow = model.dtype if model.dtype in (torch.float16, torch.bfloat16) else None
    recorder = Recorder(narrow, reading.blocks)
    inputs = model.inputs(shapes, samples)
    widths = [int(np.prod(shape)) for shape in shapes]
    value = Value.input(sum(widths), reading=reading)
    places = numbered((samples, sum(widths)))
    for tensor, place in zip(inputs, places.split(widths, dim=1), strict=True):
        recorder.follow(tensor, Tracked(value, place.reshape(tensor.shape), samples))
    results: dict[str, Any] = {}
    with _named(model.module, recorder.parts):
        try:
            with Exits(recorder), recorder:
                results = taken(model.call(inputs))
        except Exception as error:  # TorchScript makes errors of its own of it
            if recorder.stopped is None:
                if isinstance(error, ValueError) and not isinstance(error, Stopped):
                    raise
                raise ValueError("the module cannot be run twice on the same samples") from None
    if recorder.stopped is not None:
        raise ValueError(recorder.stopped)
    return {name: _value(recorder.state(result)) for name, result in results.items()}


def _value(state: Any) -> Value:
    """Return what an output is, given what is known of its tensor."""
    from laminet.interop.pytorch.recorder import Unreadable

    if isinstance(state, Unreadable):
        raise ValueError(state.reason)
    if not isinstance(state, Tracked):
        raise ValueError("the output does not depend on the input by any step that PyTorch sees")
    try:
        stacked = state.value.form.blocks and state.samples > 1 and len(state.shape) > 2
        return (state.samples_first() if stacked else state).ordered().value
    except ValueError as error:
        raise ValueError(f"the output: {error}") from None


class _named:  # noqa: N801 - reads as a function
    """Keeps a list of the modules at work: with their names, the innermost last."""

    def __init__(self, module: Any, parts: list[tuple[str, Any]]) -> None:
        self._module = module
        self._parts = parts
        self._handles: list[Any] = []

    def __enter__(self) -> None:
        import torch

        for name, part in self._module.named_modules():
            if isinstance(part, torch.jit.ScriptModule):
                continue
            entry = (name, part)

            def enter(*_: Any, entry: Any = entry) -> None:
                self._parts.append(entry)

            def leave(*_: Any) -> None:
                self._parts.pop()

            self._handles.append(part.register_forward_pre_hook(enter))
            self._handles.append(part.register_forward_hook(leave, always_call=True))

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()


def check(model: Live, net: MLP, shapes: Shapes, samples: int, output: Any) -> None:
    """Refuse a module that gives another answer than the network.

    Raises
    ------
    ValueError
        Says in what they differ.
    """
    others = (_CHECKED_SAMPLES, 1) if samples != 1 and len(model.samples) > 1 else ()
    for count in (samples, *others):
        for scale in (1.0, 10.0):
            inputs = model.inputs(shapes, count, scale)
            given = [_answer(model, inputs, output) for _ in range(2)]
            if not np.array_equal(given[0], given[1], equal_nan=True):
                _disagree("it gives two answers to the same samples")
            columns = [x.reshape(count, -1).cpu().double().numpy() for x in inputs]
            ours = net(np.concatenate(columns, axis=1)).astype(np.float64)
            with np.errstate(invalid="ignore"):
                difference = _difference(model, given[0], ours, inf=scale > 1)
            if difference and count != samples:
                difference = "its answers depend on how many samples it is given"
            if difference:
                _disagree(difference)


def _answer(model: Live, inputs: Sequence[Any], output: Any) -> NDArray[np.float64]:
    import torch

    try:
        result = picked(model.call([x.clone() for x in inputs]), output)
    except ValueError:
        raise
    except Exception:  # whatever a forward does with another number of samples
        raise ValueError(
            f"the module cannot be run on {len(inputs[0])} samples, where it could on others"
        ) from None
    array: NDArray[np.float64] = result.detach().to("cpu", torch.float64).numpy()
    return array


def _difference(model: Live, given: NDArray[Any], ours: NDArray[Any], inf: bool) -> str | None:
    """Say in what two answers differ by more than rounding; None if they do not.

    With `inf`, the module may overflow where the network does not.
    """
    import torch

    # Rows of another number are no features of one sample.
    rows = given.ndim > 1 and given.shape[0] != len(ours)
    if given.size != ours.size or rows:
        return f"its answer has shape {given.shape}, the network's {ours.shape}"
    # No bound of rounding but a guard against another function: what was not seen.
    tolerance = min(max(4096 * torch.finfo(model.dtype).eps, 1e-6), 0.1)
    given = given.reshape(ours.shape)
    finite = np.isfinite(given)
    difference = np.abs(given - ours)
    scale = float(np.max(np.abs(given), where=finite, initial=1.0))
    same = (given == ours) | (np.isnan(given) & np.isnan(ours)) | inf
    if np.where(finite, difference <= tolerance * scale, same).all():
        return None
    largest = float(np.max(difference, where=~np.isnan(difference), initial=0.0))
    return f"its answers differ from the network's by up to {largest:.3g}"


def _disagree(what: str) -> NoReturn:
    raise ValueError(f"the module does more than laminet can see of it: {what}")
