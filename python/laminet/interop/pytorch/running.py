"""Running a module of PyTorch: to read it, and to check what was read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from laminet.interop.pytorch.live import Live
from laminet.interop.pytorch.results import every
from laminet.interop.pytorch.shapes import Shapes
from laminet.interop.pytorch.tensors import Tracked, numbered
from laminet.interop.symbolic.value import Value

if TYPE_CHECKING:
    from laminet.core.mlp import MLP

__all__ = ["Result", "check", "key_of", "read"]

_CHECKED_SAMPLES = 8


@dataclass(frozen=True)
class Result:
    """One of a module's results: what it is of the inputs, and which axis counts samples."""

    value: Value
    sample_axis: int


def read(
    model: Live, shapes: Shapes, samples: int, output: Any, dtype: np.dtype[Any]
) -> dict[str, Result]:
    """Run a module once, and return what its results are of its inputs, put side by side.

    Parameters
    ----------
    model : Live
    shapes : tuple of shapes
        Of the inputs, without the samples.
    samples : int
        How many to run it on.
    output : int, str, tuple or None
        Which results, None for all.
    dtype : dtype
        Of the network that is made of it.

    Raises
    ------
    ValueError
        If something in it has no place in a network: with the part of the module, and the reason.
    """
    import torch

    from laminet.interop.pytorch.recorder import Exits, Recorder, Stopped

    narrow = model.dtype if model.dtype in (torch.float16, torch.bfloat16) else None
    kinds = {t.dtype for t in model.tensors if t.is_floating_point()}
    recorder = Recorder(narrow, exact=dtype == np.float64 and kinds == {torch.float64})
    inputs = model.inputs(shapes, samples)
    widths = [int(np.prod(shape)) for shape in shapes]
    value = Value.input(sum(widths))
    places = numbered((samples, sum(widths)))
    for tensor, place in zip(inputs, places.split(widths, dim=1), strict=True):
        recorder.follow(tensor, Tracked(value, place.reshape(tensor.shape), samples))
    results: dict[str, Any] = {}
    with _named(model.module, recorder.parts):
        try:
            with Exits(recorder), recorder:
                results = every(model.call(inputs), output)
        except Exception as error:  # TorchScript makes errors of its own of it
            if recorder.stopped is None:
                if isinstance(error, ValueError) and not isinstance(error, Stopped):
                    raise
                raise ValueError("the module cannot be run twice on the same samples") from None
    if recorder.stopped is not None:
        raise ValueError(recorder.stopped)
    return _read({name: recorder.state(result) for name, result in results.items()})


def _read(states: dict[str, Any]) -> dict[str, Result]:
    """Return what results are; of several that cannot all be read, say which can."""
    found: dict[str, Result] = {}
    refused: dict[str, str] = {}
    for name, state in states.items():
        try:
            found[name] = _result(state)
        except ValueError as error:
            refused[name] = str(error)
    if not refused:
        return found
    name, reason = next(iter(refused.items()))
    if len(states) == 1:
        raise ValueError(reason)
    advice = f": output={key_of(next(iter(found)))} reads one without it" if found else ""
    raise ValueError(f"result {key_of(name)}: {reason}{advice}")


def key_of(name: str) -> str:
    """Return what names a result, as `output` takes it."""
    parts = [int(part) if part.isdigit() else part for part in name.split(".")]
    return repr(parts[0]) if len(parts) == 1 else repr(tuple(parts))


def _result(state: Any) -> Result:
    """Return what a result is, given what is known of its tensor."""
    from laminet.interop.pytorch.recorder import Unreadable

    if isinstance(state, Unreadable):
        raise ValueError(state.reason)
    if not isinstance(state, Tracked):
        raise ValueError("the output does not depend on the input by any step that PyTorch sees")
    axis = state.sample_axis() if len(state.shape) > 2 else 0
    try:
        return Result(state.samples_first(axis).ordered().value, axis)
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


def check(
    model: Live,
    net: MLP,
    shapes: Shapes,
    samples: int,
    output: Any,
    results: Mapping[str, Result],
) -> None:
    """Refuse a module that gives another answer than the network, whose outputs `results` are.

    Raises
    ------
    ValueError
        Says in what they differ.
    """
    import torch

    others = (_CHECKED_SAMPLES, 1) if samples != 1 and len(model.samples) > 1 else ()
    eps = float(max(torch.finfo(model.dtype).eps, np.finfo(net.dtype).eps))
    for count in (samples, *others):
        for scale in (1.0, 10.0):
            inputs = model.inputs(shapes, count, scale)
            given = [_answer(model, inputs, output, results) for _ in range(2)]
            if not np.array_equal(given[0], given[1], equal_nan=True):
                _disagree("it gives two answers to the same samples")
            columns = [x.reshape(count, -1).cpu().double().numpy() for x in inputs]
            ours = net(np.concatenate(columns, axis=1)).astype(np.float64)
            with np.errstate(invalid="ignore"):
                difference = _difference(eps, given[0], ours, inf=scale > 1)
            if difference and count != samples:
                difference = "its answers depend on how many samples it is given"
            if difference:
                _disagree(difference)


def _answer(
    model: Live, inputs: Sequence[Any], output: Any, results: Mapping[str, Result]
) -> NDArray[np.float64]:
    """Return a module's results side by side; of one that has no row for each sample its own."""
    import torch

    count = len(inputs[0])
    try:
        given = every(model.call([x.clone() for x in inputs]), output)
    except ValueError:
        raise
    except Exception:  # whatever a forward does with another number of samples
        raise ValueError(
            f"the module cannot be run on {count} samples, where it could on others"
        ) from None
    if given.keys() != results.keys():
        _disagree("which results it gives depends on the samples")
    arrays = []
    for name, tensor in given.items():
        array = tensor.detach().to("cpu", torch.float64).numpy()
        axis = results[name].sample_axis
        array = np.moveaxis(array, axis, 0) if axis < array.ndim else array
        # Rows of another number are no features of one sample.
        if (array.ndim > 1 and array.shape[0] != count) or array.size % count:
            shape = tuple(tensor.shape)
            _disagree(f"its answer has shape {shape}, which is no row for each sample")
        arrays.append(array.reshape(count, -1))
    return np.concatenate(arrays, axis=1)


def _difference(eps: float, given: NDArray[Any], ours: NDArray[Any], inf: bool) -> str | None:
    """Say in what two answers differ by more than rounding; None if they do not.

    With `inf`, the module may overflow where the network does not.
    """
    if given.shape != ours.shape:
        return f"its answer has shape {given.shape}, the network's {ours.shape}"
    # No bound of rounding but a guard against another function: what was not seen.
    tolerance = min(max(4096 * eps, 1e-6), 0.1)
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
