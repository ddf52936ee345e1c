"""A network of a checkpoint: the part that is meant, its order, its normalisers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from laminet.core.activation import Activation, as_activation
from laminet.core.errors import FormatError
from laminet.core.heads import as_head
from laminet.files.checkpoint import Checkpoint, quoted
from laminet.interop.state_dicts.modules import Module, checked, modules_of
from laminet.interop.state_dicts.networks import Network, groups_of, network_of
from laminet.interop.state_dicts.normalizers import (
    CHOICES,
    Normalizer,
    applying,
    fold_inputs,
    fold_outputs,
    normalizers_of,
)
from laminet.interop.state_dicts.parts import Series, named, series_in, several
from laminet.interop.symbolic.network import network as network_of_form
from laminet.interop.symbolic.value import Value

if TYPE_CHECKING:
    from laminet.core.mlp import MLP

__all__ = ["PLACES", "Selection", "network_of_checkpoint", "selected"]

#: On which side of an activation a batch normalisation may be.
PLACES = ("before", "after")

# The state dict does not say it; PyTorch's default, and that of nearly every model.
_EPS = 1e-5


@dataclass(frozen=True)
class Selection:
    """A network, or several in series, and the normalisers of its inputs and outputs."""

    networks: tuple[Network, ...]
    inputs: tuple[Normalizer, ...]
    outputs: tuple[Normalizer, ...]

    @property
    def layers(self) -> list[Module]:
        """The dense layers, first to last."""
        return [layer for network in self.networks for layer in network.layers]

    @property
    def sizes(self) -> list[int]:
        """The number of inputs, and of the outputs of each layer."""
        layers = self.layers
        return [layers[0].inputs, *(layer.width for layer in layers)]


def selected(checkpoint: Checkpoint, part: str | Sequence[str] | None) -> Selection:
    """Return the network of a checkpoint, or the one that `part` names.

    Raises
    ------
    FormatError
        If it is not certain which layers are meant, in which order, or one is no dense layer.
    """
    modules = modules_of(
        {n: t for n, t in checkpoint.tensors.items() if n not in checkpoint.beside}
    )
    others = modules_of({n: t for n, t in checkpoint.tensors.items() if n in checkpoint.beside})
    normalizers = normalizers_of([*modules, *others], checkpoint)
    parts = [part] if isinstance(part, str) else part
    if parts is None:
        if not any(m.kind == "linear" for m in modules) and checkpoint.objects:
            name, kind = next(iter(checkpoint.objects.items()))
            raise FormatError(
                f"there is no weight of a dense layer; {quoted(name)} is an object of the class "
                f"{quoted(kind)}, which PyTorch's loader of weights does not read: save its "
                "state_dict() instead, or if you trust the file, load it and call ln.from_torch"
            )
        networks = _networks(modules, "")
        role = ""
    else:
        found = [named(modules, p) for p in parts]
        networks = [n for series in found for n in _series(series)]
        role = found[0].role or parts[0] if len(parts) == 1 else ""
    _check_joints(networks)
    prefixes = [layer.prefix for network in networks for layer in network.layers]
    everywhere = [m.prefix for m in modules if m.kind == "linear"]
    inputs, outputs = applying(normalizers, prefixes, role, everywhere)
    return Selection(tuple(networks), tuple(inputs), tuple(outputs))


def _series(series: Series) -> list[Network]:
    if series.unknown:
        one = series.unknown[0]
        reason = f" ({one.reason})" if one.reason else ""
        names = ", ".join(f'"{p}"' for p, _ in series.parts)
        raise FormatError(
            f"{quoted(one.prefix)}{reason} lies beside the layers of the {series.role}, and may "
            f"come before them: part=[{names}] takes these alone"
        )
    return [n for prefix, inside in series.parts for n in _networks(inside, prefix)]


def _networks(inside: Sequence[Module], prefix: str) -> list[Network]:
    """Return the only network of some modules, or the parts of it in series."""
    groups = groups_of(inside, prefix)
    if len(groups) > 1:
        found = list(series_in(inside).values())
        layers = {m for m in inside if m.kind == "linear"}
        if len(found) != 1 or layers != {m for _, p in found[0].parts for m in p if m in layers}:
            raise FormatError(several(groups, inside))
        return _series(found[0])
    chosen = list(groups[0].modules if groups else inside)
    checked(chosen)
    try:
        return [network_of(chosen)]
    except FormatError as error:
        if not groups or len(groups[0].layers) < 2:
            raise
        names = ", ".join(f'"{m.prefix}"'[:40] for m in groups[0].layers[:2])
        hint = f" (part=[{names}, ...] takes the layers that it names, in that order)"
        raise FormatError(f"{error}{hint}") from None


def _check_joints(networks: Sequence[Network]) -> None:
    for one, other in pairwise(networks):
        width, takes = one.layers[-1].width, other.layers[0].inputs
        if width != takes:
            raise FormatError(
                f"{quoted(other.layers[0].prefix)} takes {takes} features, and "
                f"{quoted(one.layers[-1].prefix)} before it has {width}"
            )


def network_of_checkpoint(
    checkpoint: Checkpoint,
    activations: Sequence[str | Activation] | None,
    head: str | None = None,
    part: str | Sequence[str] | None = None,
    normalizer: str | None = None,
    batch_norm: str | None = None,
) -> MLP:
    """Return the network of a checkpoint; see `laminet.load`.

    Raises
    ------
    FormatError
        If the checkpoint does not say which network is meant, or something in it is none.
    ValueError
        If there are not as many activations as layers.
    """
    if isinstance(activations, (str, Activation)):
        raise TypeError("activations must be a sequence with one for each layer, not one for all")
    if activations is not None and not isinstance(activations, Iterable):
        raise TypeError(
            f"activations must be a sequence of names, got {type(activations).__name__}"
        )
    _check_part(part)
    functions = None if activations is None else [as_activation(a) for a in activations]
    head = as_head(head)
    if normalizer not in (None, *CHOICES):
        raise ValueError(f'normalizer must be "fold" or "leave", got {normalizer!r}')
    if batch_norm not in (None, *PLACES):
        raise ValueError(f'batch_norm must be "before" or "after", got {batch_norm!r}')
    selection = selected(checkpoint, part)
    layers = selection.layers
    sizes = "-".join(map(str, selection.sizes[:12])) + ("-..." if len(layers) > 11 else "")
    if functions is None and head is not None:
        raise ValueError("head is given without activations")
    if functions is None:
        raise FormatError(
            f"a state dict has no activations: name one for each layer ({len(layers)} layers, "
            f"{sizes}): load(path, activations=[...]); this is not a file that laminet saved"
        )
    if len(functions) != len(layers):
        names = ", ".join(layer.prefix or "weight" for layer in layers[:8])
        raise ValueError(
            f"activations names {len(functions)} functions, one for each layer, and there are "
            f"{len(layers)} layers: {names}{', ...' if len(layers) > 8 else ''}"
        )
    if normalizer == "fold" and not selection.inputs and not selection.outputs:
        raise ValueError(
            'normalizer="fold": there is no normaliser of this network in the file; leave it out, '
            "or if the network was trained with one, normalise the inputs yourself"
        )
    if normalizer != "leave":
        _check_normalizers(selection, normalizer)
    value = Value.input(selection.sizes[0])
    if selection.inputs and normalizer != "leave":
        value = fold_inputs(selection.inputs, selection.sizes[0])
    for network in selection.networks:
        count = len(network.layers)
        value = _extended(value, network, functions[:count], batch_norm)
        functions = functions[count:]
    if selection.outputs and normalizer != "leave":
        value = fold_outputs(value, selection.outputs)
    used = [t for layer in layers for k, t in layer.tensors.items() if k in ("weight", "bias")]
    dtype = np.dtype("float64" if any("64" in t.dtype for t in used) else "float32")
    try:
        return network_of_form(value.resolved(), dtype, head)
    except ValueError as error:
        raise FormatError(str(error)) from None


def _check_part(part: object) -> None:
    if part is None or isinstance(part, str):
        return
    if not isinstance(part, Sequence) or not all(isinstance(p, str) for p in part):
        raise TypeError('part must be a name, as "actor", or a list of names in their order')
    if not part:
        raise ValueError("part is an empty list: name the parts that make up the network")


def _check_normalizers(selection: Selection, normalizer: str | None) -> None:
    for found in (*selection.inputs, *selection.outputs):
        what = "outputs" if found.of_outputs else "inputs"
        if found.kind is None:
            raise FormatError(
                f"the {what} are normalised by {found}, and the file does not say how: "
                'normalizer="leave" reads the layers alone, for values that you normalise yourself'
            )
        if normalizer is None and not found.kind.exact:
            raise FormatError(
                f"the {what} are normalised by {found} (its defaults; the file does not say "
                'others): normalizer="fold" makes that a part of the network, normalizer="leave" '
                "reads the layers alone, for values that you normalise yourself"
            )


def _extended(
    value: Value, network: Network, functions: Sequence[Activation], batch_norm: str | None
) -> Value:
    """Return the network of a value, batch normalisations folded in."""
    for place in network.norms:
        if place.layer < 0:
            value = _normalized(value, place.norm)
    for index, (layer, function) in enumerate(zip(network.layers, functions, strict=True)):
        bias = layer.tensors.get("bias")
        value = value.linear(layer.tensors["weight"].read(), None if bias is None else bias.read())
        here = []
        for place in network.norms:
            if place.layer != index:
                continue
            if place.after is None and batch_norm is None and function.name != "identity":
                raise FormatError(
                    f"the numbers do not tell whether the batch normalisation "
                    f"{quoted(place.norm.prefix)} comes before or after the activation: "
                    'batch_norm="before" or batch_norm="after" says it'
                )
            after = batch_norm == "after" if place.after is None else place.after
            here.append(place._replace(after=after))
        for place in here:
            if not place.after:
                value = _normalized(value, place.norm)
        value = value.activated(function)
        for place in here:
            if place.after:
                value = _normalized(value, place.norm)
    return value


def _normalized(value: Value, norm: Module) -> Value:
    read: dict[str, Any] = {
        k: t.read() for k, t in norm.tensors.items() if k != "num_batches_tracked"
    }
    mean, variance = read["running_mean"], read["running_var"]
    return value.batch_norm(mean, variance, _EPS, read.get("weight"), read.get("bias"))
