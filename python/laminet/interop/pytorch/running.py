"""Running a module of PyTorch: to find its inputs, to read it, and to check what was read."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from laminet.interop.pytorch.live import Live
from laminet.interop.pytorch.results import picked
from laminet.interop.pytorch.tensors import Tracked
from laminet.interop.pytorch.values import Value

if TYPE_CHECKING:
    from laminet.mlp import MLP

__all__ = ["Shapes", "check", "input_shapes", "read"]

Shapes = tuple[tuple[int, ...], ...]

_CHECKED_SAMPLES = 8
# No weight says how wide an input is that is sliced first: then every width is tried.
_WIDEST_TRIED = 1024
_MOST_TRIALS = 4096


# --- The shapes of the inputs -------------------------------------------------------------------


def input_shapes(model: Live, in_features: Any) -> tuple[Shapes, int]:
    """Return the shape of one sample of each input, and a number of samples that works.

    Parameters
    ----------
    model : Live
    in_features : int, sequence or mapping of int, or None
        What the user says of the inputs.

    Raises
    ------
    ValueError
        If the module cannot be run, or it cannot be known how wide each of its inputs is.
    """
    count = len(model.names)
    if count == 0:
        raise ValueError("the module takes no input")
    if in_features is not None:
        candidates: Any = [_said(model, in_features)]
    elif model.shapes is not None:
        candidates = [model.shapes]
    else:
        candidates = _candidates(model)
    tried = 0
    for shapes in itertools.islice(candidates, _MOST_TRIALS):
        tried += 1
        for samples in model.samples:
            if _runs(model, shapes, samples):
                if in_features is None and model.shapes is None:
                    shapes = _narrowest(model, shapes, samples)
                return shapes, samples
    if tried == 1:
        (shapes,) = candidates if isinstance(candidates, list) else (shapes,)
        raise ValueError(f"the module cannot be run on samples of shape {_shown(shapes)}")
    if count == 1:
        raise ValueError(
            "the module cannot be run on a tensor (batch, features) of any width that its weights "
            "suggest: say the width with in_features=, or read the part of it that takes one"
        )
    raise ValueError(
        f"the module takes {count} inputs ({', '.join(model.names)}), and cannot be run on tensors "
        "(batch, features) of any widths that its weights suggest: say them with "
        f"in_features=({', '.join('...' for _ in model.names)})"
    )


def _shown(shapes: Shapes) -> str:
    texts = [f"({', '.join(['batch', *map(str, shape)])})" for shape in shapes]
    return ", ".join(texts)


def _said(model: Live, in_features: Any) -> Shapes:
    names = model.names
    if isinstance(in_features, Mapping):
        if set(in_features) != set(names):
            raise ValueError(
                f"in_features names {', '.join(map(repr, in_features))}; the module's inputs are "
                f"{', '.join(map(repr, names))}"
            )
        widths = [in_features[name] for name in names]
    else:
        widths = list(in_features) if isinstance(in_features, (tuple, list)) else [in_features]
    if len(widths) != len(names):
        raise ValueError(
            f"in_features gives {len(widths)} widths; the module takes {len(names)} inputs "
            f"({', '.join(names)})"
        )
    for width in widths:
        if not isinstance(width, (int, np.integer)) or isinstance(width, bool) or width < 1:
            raise ValueError(f"in_features must be positive integers, got {width!r}")
    return tuple((int(width),) for width in widths)


def _candidates(model: Live) -> Iterator[Shapes]:
    """Yield shapes of the inputs: those that the weights suggest first."""
    widths = _widths(model)
    if len(model.names) == 1:
        yield from (((n,),) for n in widths)
        for n in widths:
            yield from ((shape,) for shape in _images(n))
        yield from (((n,),) for n in range(1, min(2 * max(widths), _WIDEST_TRIED) + 1))
        return
    rest = len(model.names) - 1
    for total in widths:  # joined first: their sum is what the first layer takes
        for first in (n for n in widths if total > n + rest - 1):
            yield ((first,), *[(1,)] * (rest - 1), (total - first - rest + 1,))
            yield ((total - first - rest + 1,), *[(1,)] * (rest - 1), (first,))
    for widths_ in itertools.product(widths, repeat=len(model.names)):
        yield tuple((n,) for n in widths_)
    for total in widths:
        if total > rest:
            yield (*[(1,)] * rest, (total - rest,))


def _widths(model: Live) -> list[int]:
    """Return the numbers of features that weights, in their order, suggest."""
    tensors = [t for t in model.tensors if t.ndim]
    matrices = [t for t in tensors if t.ndim > 1]
    found = [t.shape[-1] for t in matrices] + [t.shape[0] for t in matrices]
    found += [t.shape[-1] for t in tensors]
    return list(dict.fromkeys(n for n in found if n > 0)) or [1]


def _images(n: int) -> list[tuple[int, ...]]:
    shapes: list[tuple[int, ...]] = [(1, n)]
    for channels in (1, 3):
        side = round((n / channels) ** 0.5)
        if side > 1 and channels * side**2 == n:
            shapes += [(channels, side, side)] + ([(side, side)] if channels == 1 else [])
    return shapes


def _narrowest(model: Live, shapes: Shapes, samples: int) -> Shapes:
    """Return the smallest width of a module that leaves columns of its input alone."""
    if len(shapes) != 1 or len(shapes[0]) != 1:
        return shapes
    (n,) = shapes[0]
    if not _runs(model, ((n + 1,),), samples):
        return shapes
    while n > 1 and _runs(model, ((n - 1,),), samples):
        n -= 1
    return ((n,),)


def _runs(model: Live, shapes: Shapes, samples: int) -> bool:
    try:
        model.call(model.inputs(shapes, samples))
    except Exception:  # noqa: BLE001 - whatever a forward says of a shape that is not its own
        return False
    return True


# --- Reading ------------------------------------------------------------------------------------


def read(model: Live, shapes: Shapes, samples: int, output: Any) -> Value:
    """Run a module once, and return what its output is of its inputs, put side by side.

    Raises
    ------
    ValueError
        If that is no chain of dense layers: with the part of the module, and the reason.
    """
    import torch

    from laminet.interop.pytorch.recorder import Recorder, Stopped, Unreadable

    narrow = model.dtype if model.dtype in (torch.float16, torch.bfloat16) else None
    recorder = Recorder(narrow)
    inputs = model.inputs(shapes, samples)
    widths = [int(np.prod(shape)) for shape in shapes]
    value = Value.input(sum(widths))
    places = torch.arange(samples * sum(widths)).reshape(samples, -1)
    for tensor, place in zip(inputs, places.split(widths, dim=1), strict=True):
        recorder.follow(tensor, Tracked(value, place.reshape(tensor.shape), samples))
    result: Any = None
    with _named(model.module, recorder.parts):
        try:
            with recorder:
                result = picked(model.call(inputs), output)
        except Exception as error:  # noqa: BLE001 - TorchScript makes errors of its own of it
            if recorder.stopped is None:
                if isinstance(error, ValueError) and not isinstance(error, Stopped):
                    raise
                raise ValueError("the module cannot be run twice on the same samples") from None
    if recorder.stopped is not None:
        raise ValueError(recorder.stopped)
    state = recorder.state(result)
    if isinstance(state, Unreadable):
        raise ValueError(state.reason)
    if not isinstance(state, Tracked):
        raise ValueError("the output: does not depend on the input by any step that PyTorch sees")
    try:
        return state.ordered().value
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


# --- Checking -----------------------------------------------------------------------------------


def check(model: Live, net: MLP, shapes: Shapes, samples: int, output: Any) -> None:
    """Refuse a module that gives another answer than the network.

    Raises
    ------
    ValueError
        Says in what they differ.
    """
    counts = (_CHECKED_SAMPLES, 1) if samples != 1 and len(model.samples) > 1 else (samples,)
    for count in counts:
        for scale in (1.0, 10.0):
            inputs = model.inputs(shapes, count, scale)
            given = [_answer(model, inputs, output) for _ in range(2)]
            if not np.array_equal(given[0], given[1], equal_nan=True):
                _disagree("it gives two answers to the same samples")
            columns = [x.reshape(count, -1).cpu().double().numpy() for x in inputs]
            ours = net(np.concatenate(columns, axis=1)).astype(np.float64)
            _compare(model, given[0], ours)


def _answer(model: Live, inputs: Sequence[Any], output: Any) -> NDArray[np.float64]:
    import torch

    try:
        result = picked(model.call([x.clone() for x in inputs]), output)
    except ValueError:
        raise
    except Exception:  # noqa: BLE001 - whatever a forward does with another number of samples
        raise ValueError(
            f"the module cannot be run on {len(inputs[0])} samples, where it could on others"
        ) from None
    array: NDArray[np.float64] = result.detach().to("cpu", torch.float64).numpy()
    return array


def _compare(model: Live, given: NDArray[Any], ours: NDArray[Any]) -> None:
    import torch

    if given.size != ours.size:
        _disagree(f"its answer has shape {given.shape}, the network's {ours.shape}")
    # No bound of rounding but a guard against another function: what was not seen.
    tolerance = min(max(4096 * torch.finfo(model.dtype).eps, 1e-6), 0.1)
    difference = np.abs(given.reshape(ours.shape) - ours)
    scale = max(1.0, float(np.nanmax(np.abs(given), initial=0.0)))
    if not (difference <= tolerance * scale).all():
        _disagree(f"its answers differ from the network's by up to {float(difference.max()):.3g}")


def _disagree(what: str) -> NoReturn:
    raise ValueError(f"the module does more than laminet can see of it: {what}")
