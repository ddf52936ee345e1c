"""All that a trainer is, as plain values: to go on later, to the same bits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.core.conversion.counts import as_integer, as_step
from laminet.core.errors import FormatError
from laminet.core.mlp import MLP
from laminet.core.parameters import by_name, parameters, with_parameters
from laminet.core.precision import PRECISIONS
from laminet.files.safetensors_files.parts import joined, parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from laminet.core.name_types import PrecisionName
    from laminet.training.trainer import Trainer

    Array = NDArray[Any]

__all__ = ["of", "restored"]


def of(trainer: Trainer) -> dict[str, Any]:
    """Return what `Trainer.state` returns."""
    state: dict[str, Any] = {
        "format": 1,
        "loss": json.dumps(trainer.loss_function.to_dict()),
        "optimizer": json.dumps(trainer.optimizer.to_dict()),
        "class_weight": np.array([] if (w := trainer._goal.class_weight) is None else w),
        "seed": trainer._seed,
        "total_steps": -1 if trainer._total_steps is None else trainer._total_steps,
        "steps": trainer.steps,
        "epochs": trainer._epochs,
        "losses": np.array(trainer._losses, np.float64),
        "precision": trainer.precision,
    }
    state["network"], arrays = parts(trainer._network(trainer._core.arrays("parameters")))
    state.update({f"network/{name}": array for name, array in arrays.items()})
    for which in trainer._kept():
        arrays = by_name(trainer._core.arrays(which), trainer._trained._places)
        state.update({f"{which}/{name}": array for name, array in arrays.items()})
    return state


def restored(kind: type[Trainer], state: Mapping[str, Any], net: MLP | None) -> Trainer:
    """Return what `Trainer.restore` returns."""
    if not isinstance(state, Mapping):
        raise TypeError(f"state must be a dict, got {type(state).__name__}")
    try:
        if (version := _number(state, "format")) != 1:
            raise ValueError(f"state is of format {version}, expected 1")
        weights, total = np.asarray(state["class_weight"]), _number(state, "total_steps")
        trainer = kind(
            _restored_network(state, net),
            _words(state, "loss"),
            _words(state, "optimizer"),
            class_weight=weights if weights.size else None,
            seed=_number(state, "seed"),
            total_steps=None if total < 0 else total,
            precision=_precision(state),
        )
        trainer._core.steps = _number(state, "steps", least=0)
        trainer._epochs = _number(state, "epochs", least=0)
        trainer._losses = _losses(state)
        known = parameters(trainer._trained)
        for which in trainer._kept():
            found = {name: np.asarray(state[f"{which}/{name}"]) for name in known}
            held = {key for key in state if key.startswith(f"{which}/")}
            if more := held - {f"{which}/{name}" for name in known}:
                raise ValueError(
                    f"state has {min(more)!r}, and of its network that parameter is missing"
                )
            _require_alike(found, known, which)
            trainer._assign(which, found)
    except KeyError as error:
        name = str(error.args[0])
        of_array = "is of another network or optimizer"
        why = of_array if "/" in name else "is none that Trainer.state returned"
        raise ValueError(f"state has no {name!r}: it {why}") from None
    return trainer


def _precision(state: Mapping[str, Any]) -> PrecisionName | None:
    """Return that of training; of states of versions that had one alone, None."""
    if "precision" not in state:
        return None
    name = str(state["precision"])
    if name not in PRECISIONS:
        raise ValueError(f"state is damaged: 'precision' is {name[:40]!r}")
    return name


def _number(state: Mapping[str, Any], name: str, least: int | None = None) -> int:
    value = np.asarray(state[name])  # of numpy.load, an array of one
    try:
        number = as_integer(value.item() if value.ndim == 0 else value, name)
        if least is not None:
            as_step(number, name, least=least)
    except (TypeError, ValueError):
        raise ValueError(f"state is damaged: {name!r} is no whole number") from None
    return number


def _losses(state: Mapping[str, Any]) -> list[float]:
    try:
        losses = np.asarray(state["losses"], np.float64)
        if losses.ndim != 1:
            raise ValueError
    except (TypeError, ValueError):
        raise ValueError("state is damaged: 'losses' is no row of numbers") from None
    found: list[float] = losses.tolist()
    return found


def _words(state: Mapping[str, Any], name: str) -> Any:
    try:
        return json.loads(str(state[name]))
    except ValueError:
        raise ValueError(f"state is damaged: {name!r} is not what `state` wrote") from None


def _restored_network(state: Mapping[str, Any], net: MLP | None) -> MLP:
    """Return the network that a state holds; as one of the class of `net`, where there is one."""
    start = "network/"
    arrays = {
        name[len(start) :]: np.asarray(state[name]) for name in state if name.startswith(start)
    }
    try:
        made = joined(str(state["network"]), arrays)
    except FormatError as error:
        raise ValueError(f"state does not hold a network: {error}") from None
    if net is None:
        return made
    if not isinstance(net, MLP):
        raise TypeError(f"net must be an ln.MLP, got {type(net).__name__}")
    held = parameters(made)
    _require_alike(held, parameters(net), "parameters")
    found: MLP = with_parameters(net, held)
    _require_same_layers(made, found)
    return found


def _require_same_layers(made: MLP, found: MLP) -> None:
    """Raise a ValueError unless two networks of equal parameters compute the same."""
    bare = {"outputs": None, "feature_names": None, "inputs": None}
    (words, arrays), (others, constants) = (
        parts(MLP._like(net, net.layers, **bare)) for net in (made, found)
    )
    if words != others:
        raise ValueError(f"state is of another network, {made!r}, and net is {found!r}")
    for name, array in arrays.items():
        if not np.array_equal(array, constants[name], equal_nan=True):
            raise ValueError(
                f"state is of another network, whose {name} has other values than that of net"
            )


def _require_alike(found: Mapping[str, Array], known: Mapping[str, Array], which: str) -> None:
    """Raise a ValueError unless arrays of a state are those that a network has."""
    if found.keys() != known.keys():
        raise ValueError(
            f"state has {which} {', '.join(found)}, the network has {', '.join(known)}"
        )
    for name, array in found.items():
        if array.shape != known[name].shape or array.dtype != known[name].dtype:
            raise ValueError(
                f"state has {which} of {name} of shape {array.shape} and {array.dtype}, the "
                f"network has shape {known[name].shape} and {known[name].dtype}"
            )
