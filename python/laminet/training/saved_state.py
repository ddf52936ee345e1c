"""All that a trainer is, as plain values: to go on later, to the same bits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from laminet.core.errors import FormatError
from laminet.core.mlp import MLP
from laminet.core.parameters import by_name, parameters, with_parameters
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
        trainer._core.steps = _number(state, "steps")
        trainer._epochs = _number(state, "epochs")
        trainer._losses = np.asarray(state["losses"], np.float64).tolist()
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
        raise ValueError(f"state has no {error.args[0]!r}: it is of another network") from None
    return trainer


def _precision(state: Mapping[str, Any]) -> PrecisionName | None:
    """Return that of training; of states of versions that had one alone, None."""
    return cast("PrecisionName", str(state["precision"])) if "precision" in state else None


def _number(state: Mapping[str, Any], name: str) -> int:
    try:
        return int(state[name])
    except (TypeError, ValueError):
        raise ValueError(f"state is damaged: {name!r} is no whole number") from None


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
    return with_parameters(net, held)


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
