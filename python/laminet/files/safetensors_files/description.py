"""What laminet writes into a file's metadata: the activations, the head, what the outputs mean."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from laminet.core.activation import Activation
from laminet.core.heads import HEADS
from laminet.core.layers.chain import dense_chain, is_chain
from laminet.core.mlp import MLP
from laminet.core.outputs import Classes, Labels, Outputs, Quantities
from laminet.files.safetensors_files import chains
from laminet.files.safetensors_files.header import (
    MAX_HEADER,
    fail,
    is_count,
    parse_json,
    quoted,
    shortened,
)
from laminet.files.safetensors_files.trees import Tree

if TYPE_CHECKING:
    from laminet.core.layers.dense_like import DenseLike
    from laminet.core.layers.layer import Layer
    from laminet.core.name_types import HeadName
    from laminet.files.checkpoint import Stored

__all__ = ["FORMAT_VERSION", "KEY", "Description", "named_arrays"]

FORMAT_VERSION = 5
KEY = "laminet"
# What a description of each version has, and what it may have besides.
_CHAIN, _TREE = {"format", "layers"}, {"format", "layers", "dtype", "in_features"}
_MEANING = frozenset({"head", "outputs", "feature_names", "inputs"})
_KEYS = {
    1: (_CHAIN, frozenset[str]()),
    2: (_CHAIN, frozenset({"head", "task", "classes"})),
    3: (_CHAIN, _MEANING),
    4: (_TREE, _MEANING),
    5: (_TREE, _MEANING | {"missing", "precision"}),
}

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
    """All that a network is beside its arrays.

    Attributes
    ----------
    layers : tuple of Activation, or Tree
        Of a chain of dense layers, their activations; of other networks, all of their layers.
    head, outputs, feature_names, inputs
        As of the network.
    missing : tuple of float, or None
        What stands for a missing value of each feature, where the layers are a `Tree`.
    """

    layers: tuple[Activation, ...] | Tree
    head: HeadName | None = None
    outputs: Outputs | None = None
    feature_names: tuple[str, ...] | None = None
    inputs: tuple[tuple[str, int], ...] | None = None
    missing: tuple[float, ...] | None = None

    @classmethod
    def of_layers(cls, layers: Iterable[DenseLike]) -> Description:
        """Describe a plain MLP of these layers."""
        return cls(tuple(layer.activation for layer in layers))

    @classmethod
    def of(cls, net: MLP, missing: tuple[float, ...] | None = None) -> Description:
        """Describe a network, and what stands for missing values.

        Raises
        ------
        ValueError
            If a layer is of no kind that has a place in files, or there is too much of it.
        """
        chain = is_chain(net) and net.precision == net.dtype.name and missing is None
        layers = tuple(a.activation for a in dense_chain(net, "")) if chain else Tree.of(net)[0]
        return cls(layers, net.head, net.outputs, net.feature_names, net.inputs, missing)

    def describes(self, net: MLP) -> bool:
        """Whether a network has layers of these kinds, with these functions, and this head."""
        own, other = self.layers, Description.of(net).layers
        if isinstance(own, Tree):
            same = isinstance(other, Tree) and own.same_kinds(other)
        else:
            same = isinstance(other, tuple) and [a.name for a in own] == [a.name for a in other]
        return same and self.head == net.head

    def made(self, tensors: Mapping[str, Stored]) -> tuple[MLP, set[str]]:
        """Return the network that this describes, and the names of its tensors.

        Raises
        ------
        FormatError
            If tensors are missing, or do not fit.
        """
        layers: Sequence[Layer]
        said: dict[str, Any] = {}
        if isinstance(self.layers, Tree):
            layers, taken = self.layers.made(tensors)
            said = {
                "in_features": self.layers.in_features,
                "dtype": self.layers.dtype,
                "precision": self.layers.precision,
            }
        else:
            layers, taken = chains.made(self.layers, tensors)
        try:
            net = MLP(
                layers,
                head=self.head,
                outputs=self.outputs,
                feature_names=self.feature_names,
                inputs=self.inputs,
                **said,
            )
        except ValueError as error:
            fail(shortened(str(error), 200))
        return net, taken

    def to_json(self) -> str:
        """Return the JSON text, in the oldest format that can say it.

        Raises
        ------
        ValueError
            If the labels are of a type that has no place in JSON.
        """
        result: dict[str, Any] = {"format": 1}
        if isinstance(self.layers, Tree):
            result.update(format=5 if self.layers.narrow else 4, **self.layers.to_json())
        else:
            result.update(layers=chains.to_json(self.layers))
        # Left out where there is none, so that an older laminet reads what it can run.
        if self.head is not None:
            result.update(format=max(result["format"], 2), head=self.head)
        meaning: dict[str, Any] = {}
        if self.outputs is not None:
            meaning.update(outputs=_outputs_to_json(self.outputs))
        if self.feature_names is not None:
            meaning.update(feature_names=list(self.feature_names))
        if self.inputs is not None:
            meaning.update(inputs=[{"name": name, "width": width} for name, width in self.inputs])
        if meaning:
            result.update(format=max(result["format"], 3), **meaning)
        if self.missing is not None:
            result.update(format=5, missing=list(self.missing))
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
        if len(metadata[KEY]) > MAX_HEADER:
            fail(f"{where}: has {len(metadata[KEY])} characters; at most {MAX_HEADER} are accepted")
        description = parse_json(metadata[KEY], where)
        if not isinstance(description, dict) or not is_count(description.get("format")):
            fail(f"{where}: has no format number")
        version = description["format"]
        if version > FORMAT_VERSION:
            fail(
                f"{where}: format {quoted(version)} is of a later laminet; this one reads up to "
                f"{FORMAT_VERSION}"
            )
        known = version >= 1 and set(description) - _KEYS[version][1] == _KEYS[version][0]
        if not known or (version == 5 and not description.keys() & {"missing", "precision"}):
            fail(f"{where}: is not of the form that format {quoted(version)} has")
        layers: tuple[Activation, ...] | Tree
        if version >= 4:
            layers = Tree.from_json(description, where)
        else:
            layers = chains.from_json(description["layers"], where)
        head = description.get("head")
        if "head" in description and head not in HEADS:
            fail(f"{where}: unknown head {quoted(head)}")
        outputs = None
        if version == 2:
            outputs = _outputs_of_task(description, where)
        elif "outputs" in description:
            outputs = _outputs_from_json(description["outputs"], f"{where}: outputs")
        names = inputs = None
        if "feature_names" in description:
            names = _names_from_json(description["feature_names"], f"{where}: feature_names")
        if "inputs" in description:
            inputs = _inputs_from_json(description["inputs"], f"{where}: inputs")
        missing = None
        if "missing" in description:
            width = description["in_features"]
            missing = _missing_from_json(description["missing"], width, f"{where}: missing")
        return cls(layers, head, outputs, names, inputs, missing)


def named_arrays(net: MLP, description: Description) -> dict[str, NDArray[Any]]:
    """Return the arrays of a network by the names of their tensors."""
    tree = isinstance(description.layers, Tree)
    return Tree.of(net)[1] if tree else chains.arrays(dense_chain(net, ""))


def _outputs_to_json(outputs: Outputs) -> dict[str, Any]:
    if isinstance(outputs, Quantities):
        names = {} if outputs.names is None else {"names": list(outputs.names)}
        return {"kind": "quantities", **names}
    assert isinstance(outputs, (Classes, Labels))  # there is no other kind
    kind = "classes" if isinstance(outputs, Classes) else "labels"
    return {"kind": kind, "labels": _labels_to_json(outputs.labels)}


def _outputs_from_json(value: Any, where: str) -> Outputs:
    kind = value.get("kind") if isinstance(value, dict) else None
    if kind == "quantities" and set(value) <= {"kind", "names"}:
        if "names" not in value:
            return Quantities()
        return _made(where, Quantities, _names_from_json(value["names"], where))
    if kind in ("classes", "labels") and set(value) == {"kind", "labels"}:
        labels = _labels_from_json(value["labels"], f"{where}: labels")
        return _made(where, Classes if kind == "classes" else Labels, labels)
    return fail(f"{where}: {quoted(value)} is none of quantities, classes and labels")


def _outputs_of_task(description: dict[str, Any], where: str) -> Outputs | None:
    """Return what format 2 calls a task, with the classes beside it."""
    task = description.get("task")
    if "task" in description and task not in ("classifier", "multilabel", "regressor"):
        fail(f"{where}: unknown task {quoted(task)}")
    if ("classes" in description) != (task in ("classifier", "multilabel")):
        fail(f"{where}: classes belong to a classifier and to nothing else")
    if task is None:
        return None
    if task == "regressor":
        return Quantities()
    labels = _labels_from_json(description["classes"], f"{where}: classes")
    return _made(where, Classes if task == "classifier" else Labels, labels)


def _made(where: str, kind: Callable[[Any], Outputs], value: Any) -> Outputs:
    try:
        return kind(value)
    except (ValueError, TypeError) as error:
        fail(f"{where}: {error}")


def _names_from_json(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        fail(f"{where}: must be a list of texts")
    return tuple(value)


def _missing_from_json(value: Any, width: int, where: str) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) != width:
        fail(f"{where}: must be a list of {width} numbers, one for each feature")
    for number in value:
        # Beyond float64 an integer of JSON is no number of a network either.
        if type(number) not in (int, float) or not abs(number) <= float(np.finfo(float).max):
            fail(f"{where}: {quoted(number)} is no number")
    return tuple(map(float, value))


def _inputs_from_json(value: Any, where: str) -> tuple[tuple[str, int], ...]:
    if not isinstance(value, list):
        fail(f"{where}: must be a list")
    pairs = []
    for entry in value:
        if not isinstance(entry, dict) or set(entry) != {"name", "width"}:
            fail(f"{where}: {quoted(entry)} is no name with a width")
        if not isinstance(entry["name"], str) or not is_count(entry["width"]):
            fail(f"{where}: {quoted(entry)} is no name with a width")
        pairs.append((entry["name"], entry["width"]))
    return tuple(pairs)


def _labels_to_json(labels: NDArray[Any]) -> dict[str, Any]:
    name = "str" if labels.dtype.kind == "U" else labels.dtype.name
    values = labels.tolist()
    allowed = _LABEL_TYPES.get(name, ())
    for value in values:
        if type(value) not in allowed:
            kind = f"{labels.dtype} that holds {type(value).__name__}"
            raise ValueError(f"labels of type {kind} cannot be saved; numbers and text can")
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
        if type(value) not in _LABEL_TYPES[name] or not _fits(value, name):
            fail(f"{where}: {quoted(value)} is not of the type {name}")
    # An array of text gives each the room of the longest.
    lengths = [len(value) for value in values if isinstance(value, str)]
    if name == "str" and max(lengths, default=0) * len(lengths) > 2**20 + 16 * sum(lengths):
        fail(f"{where}: a text of {max(lengths)} characters among {len(lengths)} is too long")
    with np.errstate(all="ignore"):
        return np.array(values, dtype=name)


def _fits(value: Any, name: str) -> bool:
    """Whether a type holds a number. Not every NumPy refuses the 300 of an int8."""
    if isinstance(value, (bool, str)) or name == "object":
        return True
    if "int" in name:
        limits = np.iinfo(name)
        return bool(int(limits.min) <= value <= int(limits.max))
    if not abs(value) <= float(np.finfo(name).max):
        return False
    # Nor is a number that the type rounds one of its own: 2049 of a float16.
    return bool(np.array(value, name).item() == value)
