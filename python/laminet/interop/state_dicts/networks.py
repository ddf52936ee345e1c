"""The networks of a state dict, told apart by the prefixes of their layers.

Layers of one module are one network where numbers and shapes give one order. Layers of different
modules are not joined, whatever their sizes, but for the layers that a module with a sequence of a
general name (``net.0``, ``net.2``) has beside it under a general name (``out``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from laminet.core.errors import FormatError
from laminet.files.checkpoint import quoted, tokens
from laminet.interop.state_dicts.modules import Module, checked
from laminet.interop.state_dicts.order import Placed, numbers_of, ordered, pattern_of, placed

__all__ = ["Group", "Network", "described", "groups_of", "network_of"]

_SEQUENCE = re.compile(
    r"(.*_)?(net|nets|network|networks|model|mlp|layer|layers|fc|fcs|linear|linears|lin|lins|dense"
    r"|block|blocks|body|backbone|trunk|features?|feature_extractor|hidden|hiddens|seq|sequential"
    r"|main|stack|base|stem|container|module|modules|affine|ffn|feedforward|shared|common)[0-9]*",
    re.IGNORECASE,
)
_END = re.compile(
    r"(in|input|first|embedding|out|output|outputs|fc|linear|lin|dense|layer|head|last|final"
    r"|classifier|regressor|logits?|mu|mean|proj|projection|prediction|predictor|readout|score)"
    r"(_?(out|output|layer|head|proj|projection|linear|net|fc|mu|mean))?_?[0-9]*",
    re.IGNORECASE,
)
_DIFFERENT = {
    "actor": 0, "policy": 0, "pi": 0, "critic": 1, "value": 1, "vf": 1, "v": 1, "q": 1, "qf": 1,
    "baseline": 1, "advantage": 1, "generator": 2, "gen": 2, "discriminator": 3, "disc": 3,
    "encoder": 4, "enc": 4, "decoder": 5, "dec": 5, "target": 6, "teacher": 7, "student": 8,
    "reward": 9, "dynamics": 10,
}  # fmt: skip


@dataclass(frozen=True)
class Group:
    """Modules of one network, in no order yet; `names` are what a user calls it by."""

    names: tuple[str, ...]
    modules: tuple[Module, ...]

    @property
    def layers(self) -> list[Module]:
        """The dense layers."""
        return [m for m in self.modules if m.kind == "linear"]


@dataclass(frozen=True)
class Network:
    """Layers in order, and the batch normalisations among them."""

    layers: tuple[Module, ...]
    norms: tuple[Placed, ...]

    @property
    def sizes(self) -> list[int]:
        """The number of inputs, and of the outputs of each layer."""
        return [self.layers[0].inputs, *(layer.width for layer in self.layers)]


def network_of(modules: Sequence[Module]) -> Network:
    """Return the network that modules are.

    Raises
    ------
    FormatError
        If one of them is no dense layer or batch normalisation, or the order is not certain.
    """
    checked(list(modules))
    layers = [m for m in modules if m.kind == "linear"]
    if not layers:
        raise FormatError("there is no weight of a dense layer")
    order = ordered(layers)
    norms = placed([m for m in modules if m.kind == "batch_norm"], order)
    return Network(tuple(order), tuple(norms))


def described(group: Group) -> str:
    """Return names and sizes of a network, for a message."""
    name = ", ".join(quoted(n) for n in group.names[:4]) + (", ..." if group.names[4:] else "")
    try:
        sizes = ordered(group.layers)
    except FormatError:
        return f"{name} (layers that do not chain)"
    numbers = [sizes[0].inputs, *(layer.width for layer in sizes)]
    text = "-".join(map(str, numbers[:9])) + ("-..." if numbers[9:] else "")
    return f"{name} {text}"


def groups_of(modules: Sequence[Module], scope: str = "") -> list[Group]:
    """Return the networks of the modules below a prefix, in the order of the file.

    A module that belongs to no dense layer is taken to belong to the network, if there is but one.
    """
    useful = [m for m in modules if m.kind in ("linear", "batch_norm", "other")]
    groups, strays = _split(useful, scope)
    if len(groups) == 1 and strays:
        groups = [Group(groups[0].names, (*groups[0].modules, *strays))]
    return groups


def _relative(module: Module, scope: str) -> list[str]:
    return module.prefix[len(scope) :].removeprefix(".").split(".")


def _container(parts: list[str]) -> list[str]:
    """Return what comes before the first number, or before the name of the layer itself."""
    for index, part in enumerate(parts):
        if part.isdigit():
            return parts[:index]
    return parts[:-1]


def _split(modules: list[Module], scope: str) -> tuple[list[Group], list[Module]]:
    """Return the networks below a prefix, and the modules that belong to none."""
    children: dict[str, list[Module]] = {}
    direct: list[Module] = []
    for module in modules:
        container = _container(_relative(module, scope))
        (children.setdefault(container[0], []) if container else direct).append(module)
    groups: list[Group] = []
    strays: list[Module] = []
    for name, inside in children.items():
        found, rest = _split(inside, f"{scope}.{name}" if scope else name)
        groups += found
        strays += rest
    layers = [m for m in direct if m.kind == "linear"]
    if not layers:
        return groups, strays + direct
    own = _members(direct, scope) or _direct(direct, scope)
    if not groups and len(own) == 1:
        return own, strays
    if len(groups) == len(own) == 1 and _belong_together(groups[0], own[0]):
        names = (scope,) if scope else (*groups[0].names, *(m.prefix for m in layers))
        joined = Group(names, (*groups[0].modules, *own[0].modules))
        try:
            ordered(joined.layers)
        except FormatError:
            pass
        else:
            return [joined], strays
    if groups:
        own = [g for group in own for g in _by_names(group, scope)]
    return groups + own, strays


def _members(direct: list[Module], scope: str) -> list[Group]:
    """Return the members of a list of networks: ``critics.0``, ``critics.1``; none if it is one."""
    if not scope:
        return []  # a Sequential itself
    members: dict[str, list[Module]] = {}
    for module in direct:
        first = _relative(module, scope)[0]
        if not first.isdigit():
            return []
        members.setdefault(first, []).append(module)
    several = [m for m in members.values() if sum(x.kind == "linear" for x in m) > 1]
    if len(several) < 2:
        return []
    return [Group((f"{scope}.{key}",), tuple(inside)) for key, inside in members.items()]


def _direct(direct: list[Module], scope: str) -> list[Group]:
    """Return the layers of one module: one network, or several if their names or shapes say so."""
    whole = Group((scope,), tuple(direct))
    roles = {
        _DIFFERENT[word]
        for module in whole.layers
        for word in tokens(module.prefix.rpartition(".")[2])
        if word in _DIFFERENT
    }
    groups = _by_names(whole, scope)
    if len(roles) > 1:
        return groups
    # Some layers in a row, and others beside that do not fit: a trunk with two heads.
    trunk = len(groups) > 1 and any(len(g.layers) > 1 for g in groups)
    return groups if trunk and not _chains(whole) else [whole]


def _chains(group: Group) -> bool:
    try:
        ordered(group.layers)
    except FormatError as error:
        return "not certain" in str(error) or "too many" in str(error)
    return True


def _by_names(group: Group, scope: str) -> list[Group]:
    """Return one network for each name but for its numbers."""
    layers: dict[tuple[str, ...], list[Module]] = {}
    rest: list[Module] = []
    for module in group.modules:
        if module.kind == "linear":
            layers.setdefault(pattern_of(module.prefix), []).append(module)
        else:
            rest.append(module)
    result = []
    for inside in layers.values():
        inside.sort(key=lambda m: numbers_of(m.prefix))
        whole = scope and all(_relative(m, scope)[0].isdigit() for m in inside)
        names = (scope,) if whole else tuple(m.prefix for m in inside)
        own = rest if len(layers) == 1 else []
        result.append(Group(names, (*inside, *own)))
    return result


def _belong_together(sequence: Group, ends: Group) -> bool:
    name = sequence.names[0].rpartition(".")[2]
    last = [m.prefix.rpartition(".")[2] for m in ends.layers]
    return (
        len(sequence.names) == 1
        and _SEQUENCE.fullmatch(name) is not None
        and all(_END.fullmatch(n) for n in last)
    )
