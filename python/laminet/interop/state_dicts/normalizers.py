"""Normalisers that lie beside a network in a checkpoint.

A policy that was trained on normalised observations gives other actions for raw ones, so a
normaliser is never passed over in silence.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from laminet.core.errors import FormatError
from laminet.files.checkpoint import Checkpoint, Stored, quoted, tokens
from laminet.interop.state_dicts.modules import Module
from laminet.interop.symbolic.value import Value

__all__ = ["CHOICES", "Normalizer", "applying", "fold_inputs", "fold_outputs", "normalizers_of"]

Array = NDArray[Any]

CHOICES = ("fold", "leave")


@dataclass(frozen=True)
class _Kind:
    """A normaliser of a library: the tensors it keeps, and what it computes of them."""

    origin: str
    keys: frozenset[str]
    formula: str
    clip: float | None
    # Whether no option of the library changes a number of the formula.
    exact: bool = True


_KINDS = (
    _Kind(
        "skrl",
        frozenset({"running_mean", "running_variance", "current_count"}),
        "clip((x - mean) / (sqrt(variance) + 1e-8), -5, 5)",
        5.0,
        exact=False,
    ),
    _Kind(
        "rl_games",
        frozenset({"running_mean", "running_var", "count"}),
        "clip((x - mean) / sqrt(variance + 1e-5), -5, 5)",
        5.0,
    ),
    _Kind(
        "rsl_rl", frozenset({"_mean", "_var", "_std", "count"}), "(x - mean) / (std + 0.01)", None
    ),
    _Kind(
        "ML-Agents",
        frozenset({"running_mean", "running_variance", "normalization_steps"}),
        "clip((x - mean) / sqrt(variance / steps), -5, 5)",
        5.0,
    ),
)

# Words for the same network.
_ROLES = {"actor": "actor", "policy": "actor", "pi": "actor", "critic": "critic"}
_ROLES |= {"value": "critic", "vf": "critic", "privileged": "critic", "teacher": "teacher"}
_ROLES |= {"student": "student", "rnd": "rnd", "discriminator": "discriminator"}
# What normalises in training only.
_OF_REWARDS = {"reward", "rewards", "rew"}
_OF_OUTPUTS = {"value", "values", "return", "returns", "ret", "target", "targets", "y", "output"}
# Between a normaliser of ML-Agents and the network that it belongs to.
_WITHIN = {"network_body", "observation_encoder", "processors", "normalizer"}
_ABOUT = (
    r"(x|y|ob|obs|observations?|states?|inputs?|data|features?|targets?|outputs?|ret|actor|critic"
    r"|running|scaler|norm|normali[sz](er|ation))"
)
_MOMENTS = r"(means?|stds?|vars?|variances?|mu)"
#: Names of what may be a normaliser that the file does not describe.
_TELLING = re.compile(
    rf"({_ABOUT}_)*({_MOMENTS}|rms|scalers?|normali[sz](er|ation)s?|norm|norm_stats|preprocessor"
    r"|running_mean_std|statistics|mins?|max|maxs|minimum|maximum|sigma|offsets?|shifts?|scales?"
    r"|cent(er|re)s?|loc|low|high|bounds?|ranges?)",
    re.IGNORECASE,
)
# Of numbers alone, of which a checkpoint has many, only what is named as a mean or a deviation.
_TELLING_NUMBER = re.compile(rf"({_ABOUT}_)*{_MOMENTS}", re.IGNORECASE)
# The deviation of a policy's noise, which is none of its inputs.
_OF_NOISE = re.compile(r"(.*_)?log_?stds?", re.IGNORECASE)


@dataclass(frozen=True)
class Normalizer:
    """A normaliser: its name, its tensors, and what it computes; `kind` None where unknown."""

    prefix: str
    tensors: Mapping[str, Stored]
    kind: _Kind | None

    @property
    def of_outputs(self) -> bool:
        """Whether it stands behind the outputs of a network of values."""
        words = set(tokens(self.prefix))
        return bool(words & _OF_OUTPUTS) and not words & {"obs", "ob", "observation"}

    @property
    def roles(self) -> set[str]:
        """Which networks it names, if any."""
        return _roles(self.prefix)

    def __str__(self) -> str:
        if self.kind is None:
            return f"{quoted(self.prefix)}, of a kind that is not known"
        formula = self.kind.formula
        if self.of_outputs:
            formula = "sqrt(variance) * clip(y, -5, 5) + mean"
        return f"{quoted(self.prefix)}, of {self.kind.origin}: {formula}"

    def statistics(self) -> tuple[Array, Array]:
        """Return the mean, and what the difference from it is divided by."""
        assert self.kind is not None  # the caller has looked
        read = {
            name: tensor.read().astype(np.float64).reshape(-1)
            for name, tensor in self.tensors.items()
        }
        with np.errstate(all="ignore"):
            if self.kind.origin == "rsl_rl":
                return read["_mean"], read["_std"] + 1e-2
            if self.kind.origin == "skrl":
                added = 0.0 if self.of_outputs else 1e-8
                return read["running_mean"], np.sqrt(read["running_variance"]) + added
            if self.kind.origin == "rl_games":
                return read["running_mean"], np.sqrt(read["running_var"] + 1e-5)
            steps = read["normalization_steps"]
            return read["running_mean"], np.sqrt(read["running_variance"] / steps)


def normalizers_of(modules: Sequence[Module], checkpoint: Checkpoint) -> list[Normalizer]:
    """Return the normalisers of a checkpoint, those of an unknown kind among them."""
    result = []
    for module in modules:
        if module.kind == "statistics":
            names = frozenset(module.tensors)
            kind = next((k for k in _KINDS if k.keys == names), None)
            name = module.prefix or " and ".join(sorted(module.tensors))
            result.append(Normalizer(name, module.tensors, kind))
    widths = {m.inputs for m in modules if m.kind == "linear"}
    loose = [n for n in checkpoint.beside if not any(_is_of(n, r) for r in result)]
    for name in sorted([*loose, *checkpoint.objects]):
        last = name.rpartition(".")[2]
        # A number for each input, whatever it is called, may be one that they are scaled with.
        fits = name in loose and _size(checkpoint.tensors[name]) in widths - {1}
        if _TELLING.fullmatch(last) or (fits and not _OF_NOISE.fullmatch(last)):
            result.append(Normalizer(name, {}, None))
    for name, text in sorted(checkpoint.values.items()):
        if _TELLING_NUMBER.fullmatch(name.rpartition(".")[2]) and _is_number(text):
            result.append(Normalizer(name, {}, None))
    return [r for r in result if not set(tokens(r.prefix)) & _OF_REWARDS]


def _size(tensor: Stored) -> int:
    return math.prod(tensor.shape)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_of(name: str, normalizer: Normalizer) -> bool:
    return name.rpartition(".")[2] in normalizer.tensors


def applying(
    normalizers: Sequence[Normalizer],
    prefixes: Sequence[str],
    role: str,
    everywhere: Sequence[str],
) -> tuple[list[Normalizer], list[Normalizer]]:
    """Return the normalisers of a network's inputs, and those of its outputs.

    Parameters
    ----------
    normalizers : sequence of Normalizer
    prefixes : sequence of str
        Names of the network's layers.
    role : str
        The name by which the user asked for it.
    everywhere : sequence of str
        Names of all layers of the checkpoint.
    """
    roles = _roles(role) or set().union(*map(_roles, prefixes))
    near = [n for n in normalizers if any(_is_near(n, p, everywhere) for p in prefixes)]
    inputs = [n for n in near if not n.of_outputs]
    named = [n for n in inputs if n.roles & roles]
    inputs = named or [n for n in inputs if not (n.roles and roles)]
    if roles == {"actor"} and any("observation" in tokens(n.prefix) for n in inputs):
        # skrl has one of observations, which are the policy's, and one of the critic's states.
        inputs = [n for n in inputs if "state" not in tokens(n.prefix)]
    outputs = [] if roles == {"actor"} else [n for n in near if n.of_outputs]
    return inputs, outputs


def _roles(name: str) -> set[str]:
    return {_ROLES[word] for word in tokens(name) if word in _ROLES}


def _is_near(normalizer: Normalizer, prefix: str, everywhere: Sequence[str]) -> bool:
    """Whether a normaliser lies beside the network of a layer, or beside what holds it."""
    parent = normalizer.prefix.split(".")[:-1]
    while parent and (parent[-1] in _WITHIN or parent[-1].isdigit()):
        parent.pop()
    # One that is a mapping of its own (obs_rms.mean, obs_rms.var) belongs to what holds that.
    while (
        normalizer.kind is None
        and parent
        and not any(layer.split(".")[: len(parent)] == parent for layer in everywhere)
    ):
        parent.pop()
    return prefix.split(".")[: len(parent)] == parent


def fold_inputs(found: Sequence[Normalizer], width: int) -> Value:
    """Return the normalised inputs.

    Raises
    ------
    FormatError
        If the normalisers are not for so many inputs.
    """
    pairs = [n.statistics() for n in found]
    mean, divisor = (np.concatenate(arrays) for arrays in zip(*pairs, strict=True))
    kinds = {n.kind for n in found}
    together = len(found) == 1 or {k.origin for k in kinds if k} == {"ML-Agents"}
    if not together or len(mean) != width or len(divisor) != width or None in kinds:
        names = ", ".join(quoted(n.prefix) for n in found[:4])
        raise FormatError(f"the normalisation of {names} is not one of {width} inputs")
    with np.errstate(all="ignore"):
        value = Value.input(width).scaled(1 / divisor, -mean / divisor)
    return _clipped(value, found[0])


def fold_outputs(value: Value, found: Sequence[Normalizer]) -> Value:
    """Return the outputs with their normalisation undone.

    Raises
    ------
    FormatError
        If the normaliser is not for so many outputs.
    """
    mean, deviation = found[0].statistics()
    if len(found) > 1 or len(mean) != value.width or len(deviation) != value.width:
        raise FormatError(
            f"the normalisation of {quoted(found[0].prefix)} is not one of {value.width} outputs"
        )
    return _clipped(value, found[0]).scaled(deviation, mean)


def _clipped(value: Value, normalizer: Normalizer) -> Value:
    clip = normalizer.kind.clip if normalizer.kind else None
    return value if clip is None else value.clipped(-clip, clip)
