"""What laminet writes into a file's metadata: the activations, the head, what the outputs mean."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from laminet.activation import ACTIVATIONS, Activation
from laminet.head import HEADS
from laminet.interop.safetensors_files.header import fail, is_count, parse_json, quoted

if TYPE_CHECKING:
    from laminet.dense import Dense
    from laminet.mlp import MLP
    from laminet.reference import Layer

__all__ = ["FORMAT_VERSION", "KEY", "Description"]

FORMAT_VERSION = 2
KEY = "laminet"

# Types of labels. Text has no length here: a type like "<U999999999" would be a huge array.
_LABEL_TYPES = {
    **{f"{sign}int{bits}": (int,) for sign in ("", "u") for bits in (8, 16, 32, 64)},
    **{f"float{bits}": (int, float) for bits in (16, 32, 64)},
    "bool": (bool,),
    "str": (str,),
    "object": (str, bool, int, float),
}


@dataclass(frozen=True)
class Description:
    """All that a network is beside its weights."""

    activations: tuple[Activation, ...]
    head: str | None = None
    task: str | None = None  # None: a plain MLP; "classifier", "multilabel", "regressor"
    classes: NDArray[Any] | None = None

    @classmethod
    def of_layers(cls, layers: Iterable[Layer]) -> Description:
        """Describe a plain MLP of these layers."""
        return cls(tuple(layer.activation for layer in layers))

    @classmethod
    def of(cls, net: MLP) -> Description:
        """Describe a network."""
        from laminet.tasks import Classifier, Regressor

        activations = tuple(layer.activation for layer in net.layers)
        if isinstance(net, Classifier):
            task = "multilabel" if net.multilabel else "classifier"
            return cls(activations, net.head, task, net.classes)
        return cls(activations, net.head, "regressor" if isinstance(net, Regressor) else None)

    def network(self, layers: list[Dense]) -> MLP:
        """Return the network that this describes."""
        from laminet.mlp import MLP
        from laminet.tasks import Classifier, Regressor

        if self.task == "regressor":
            return Regressor(layers)
        if self.task is None:
            return MLP(layers, head=self.head)
        multilabel = self.task == "multilabel"
        return Classifier(layers, self.classes, head=self.head, multilabel=multilabel)

    def to_json(self) -> str:
        """Return the JSON text, in the oldest format that can say it.

        Raises
        ------
        ValueError
            If the labels of the classes are of a type that has no place in JSON.
        """
        rows = [{"activation": a.name, **a.parameters} for a in self.activations]
        result: dict[str, Any] = {"format": 1, "layers": rows}
        # Left out where there is none, so that an older laminet reads what it can run.
        if self.head is not None:
            result.update(format=2, head=self.head)
        if self.task is not None:
            result.update(format=2, task=self.task)
        if self.classes is not None:
            result.update(format=2, classes=_labels_to_json(self.classes))
        return json.dumps(result, allow_nan=False)

    @classmethod
    def from_json(cls, metadata: Any) -> Description:
        """Read and check the entry of a file's metadata; raise FormatError."""
        if not isinstance(metadata, dict) or KEY not in metadata:
            fail(
                f"no {KEY!r} entry in the metadata: not a file that laminet saved (of a state dict "
                "of an MLP, name the activations: load(path, activations=[...]))"
            )
        where = f"metadata {KEY!r}"
        if not isinstance(metadata[KEY], str):
            fail(f"{where}: must be a text")
        description = parse_json(metadata[KEY], where)
        if not isinstance(description, dict) or not is_count(description.get("format")):
            fail(f"{where}: has no format number")
        version = description["format"]
        if version > FORMAT_VERSION:
            fail(
                f"{where}: format {quoted(version)} is of a later laminet; this one reads up to "
                f"{FORMAT_VERSION}"
            )
        optional = {"head", "task", "classes"} if version > 1 else set()
        keys = set(description) - optional
        if version < 1 or keys != {"format", "layers"}:
            fail(f"{where}: is not of the form that format {quoted(version)} has")
        rows = description["layers"]
        if not isinstance(rows, list) or not rows:
            fail(f"{where}: layers must be a list of one or more")
        activations = tuple(_activation(r, f"{where}: layer {i}") for i, r in enumerate(rows))
        head = description.get("head")
        if "head" in description and head not in HEADS:
            fail(f"{where}: unknown head {quoted(head)}")
        task = description.get("task")
        if "task" in description and task not in ("classifier", "multilabel", "regressor"):
            fail(f"{where}: unknown task {quoted(task)}")
        if ("classes" in description) != (task in ("classifier", "multilabel")):
            fail(f"{where}: classes belong to a classifier and to nothing else")
        if task == "regressor" and head is not None:
            fail(f"{where}: a regressor has no head")
        classes = None
        if "classes" in description:
            classes = _labels_from_json(description["classes"], f"{where}: classes")
        return cls(activations, head, task, classes)


def _labels_to_json(classes: NDArray[Any]) -> dict[str, Any]:
    name = "str" if classes.dtype.kind == "U" else classes.dtype.name
    values = classes.tolist()
    allowed = _LABEL_TYPES.get(name, ())
    for value in values:
        if type(value) not in allowed:
            kind = f"{classes.dtype} that holds {type(value).__name__}"
            raise ValueError(f"classes of type {kind} cannot be saved; numbers and text can")
    return {"type": name, "values": values}


def _labels_from_json(description: Any, where: str) -> NDArray[Any]:
    if not isinstance(description, dict) or set(description) != {"type", "values"}:
        fail(f"{where}: must have a type and values")
    name, values = description["type"], description["values"]
    if not isinstance(name, str) or name not in _LABEL_TYPES:
        fail(f"{where}: unknown type {quoted(name)}")
    if not isinstance(values, list):
        fail(f"{where}: values must be a list")
    for value in values:
        if type(value) not in _LABEL_TYPES[name]:
            fail(f"{where}: {quoted(value)} is not of the type {name}")
    # An array of text gives each the room of the longest.
    lengths = [len(value) for value in values if isinstance(value, str)]
    if name == "str" and max(lengths, default=0) * len(lengths) > 2**20 + 16 * sum(lengths):
        fail(f"{where}: a text of {max(lengths)} characters among {len(lengths)} is too long")
    try:
        with np.errstate(all="ignore"):
            return np.array(values, dtype=name)
    except (OverflowError, ValueError) as error:
        fail(f"{where}: {error}")


def _activation(row: Any, where: str) -> Activation:
    if not isinstance(row, dict) or not isinstance(row.get("activation"), str):
        fail(f"{where}: names no activation")
    name = row["activation"]
    if name not in ACTIVATIONS:
        fail(f"{where}: unknown activation {quoted(name)}")
    parameters = {key: value for key, value in row.items() if key != "activation"}
    for key, value in parameters.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            fail(f"{where}: {quoted(key)} is {quoted(value)}, not a number")
        if not abs(value) <= sys.float_info.max:
            fail(f"{where}: {quoted(key)} is {quoted(value)}, not a finite number")
    known = sorted(ACTIVATIONS[name])
    if sorted(parameters) != known:
        found = quoted(sorted(parameters))
        fail(f"{where}: {name!r} has the parameters {known}, not {found}")
    return Activation(name, **parameters)
