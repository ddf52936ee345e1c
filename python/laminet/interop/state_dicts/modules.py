"""The modules whose tensors a state dict holds, told by the names and shapes of these."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from laminet.core.errors import FormatError
from laminet.files.checkpoint import Stored, quoted

__all__ = ["Module", "checked", "modules_of"]

# No state dict of dense layers comes near; a hostile one shall cost a moment.
_MOST_TENSORS = 20_000
_DEEPEST = 32
#: Tensors that no layer computes with: the width of a policy's noise, counters.
_ASIDE = re.compile(
    r"(actor_|action_)?log_?(std|sigma|alpha|ent_coef)(_param(eter)?)?|std(_param)?|sigma"
    r"|global_step|steps?|epoch|num_updates|version_number|is_continuous(_int_deprecated)?"
    r"|(continuous_|discrete_)?act_size_vector(_deprecated)?|memory_size(_vector)?"
)
#: A layer that gives the logarithm of a policy's noise, beside the one that gives its mean.
_NOISE_HEAD = re.compile(r"(.*_)?log_?(std|sigma)(_layer|_head|_linear|_net)?", re.IGNORECASE)
_BATCH_NORM = {"running_mean", "running_var", "num_batches_tracked", "weight", "bias"}
_STATISTICS = {"mean", "std", "var", "variance", "running_mean", "running_var", "running_variance"}
_STATISTICS |= {"_mean", "_std", "_var", "obs_mean", "obs_std", "obs_var", "x_mean", "x_std"}
_STATISTICS |= {"input_mean", "input_std", "mu", "sd"}

_REASONS = {
    "weight_g": "the module is parametrised (weight_norm): load it, then ln.from_torch(module)",
    "weight_v": "the module is parametrised (weight_norm): load it, then ln.from_torch(module)",
    "weight_u": "the module is parametrised (spectral_norm): load it, then ln.from_torch(module)",
    "weight_orig": "the module is parametrised or pruned: load it, then ln.from_torch(module)",
    "weight_mask": "the module is pruned: load it, then ln.from_torch(module)",
    "original0": "the module is parametrised: load it, then ln.from_torch(module)",
    "original1": "the module is parametrised: load it, then ln.from_torch(module)",
    "original": "the module is parametrised: load it, then ln.from_torch(module)",
    "weight_mu": "a layer with noise on its weights (NoisyLinear), which laminet does not have",
    "in_proj_weight": "attention, which laminet does not have",
    "weight_ih_l0": "a recurrent layer (LSTM, GRU), which laminet does not have",
    "weight_ih": "a recurrent layer (LSTM, GRU), which laminet does not have",
    "scale": "a scale of a quantised layer or of a step that the file does not describe",
    "zero_point": "the module is quantised, and its weights are no floating-point numbers",
    "_packed_params": "the module is quantised, and its weights are no floating-point numbers",
    "action_scale": "a step after the layers; part=[...] with the layers' names takes them alone",
    "action_bias": "a step after the layers; part=[...] with the layers' names takes them alone",
}


@dataclass(frozen=True, eq=False)
class Module:
    """Tensors of one prefix.

    Attributes
    ----------
    kind : {"linear", "batch_norm", "statistics", "aside", "other"}
        ``statistics`` are those of a normaliser; ``aside`` computes nothing of the network.
    reason : str
        Of the kind "other": why it is no dense layer, for a message.
    """

    prefix: str
    kind: str
    tensors: Mapping[str, Stored]
    reason: str = ""

    @property
    def width(self) -> int:
        """The number of features of a batch normalisation, or of the outputs of a layer."""
        key = "weight" if self.kind == "linear" else "running_mean"
        return self.tensors[key].shape[0]

    @property
    def inputs(self) -> int:
        """The number of inputs of a layer."""
        return self.tensors["weight"].shape[1]


def modules_of(tensors: Mapping[str, Stored]) -> list[Module]:
    """Return the modules of a state dict, in the order of their first tensors."""
    if len(tensors) > _MOST_TENSORS:
        raise FormatError(f"holds {len(tensors)} tensors; up to {_MOST_TENSORS} are accepted")
    groups: dict[str, dict[str, Stored]] = {}
    for name, tensor in tensors.items():
        if name.count(".") > _DEEPEST:
            raise FormatError(f"the name {quoted(name)} has more than {_DEEPEST} levels")
        if "" in name.split("."):  # PyTorch gives no module such a name
            raise FormatError(f"the name {quoted(name)} has an empty part")
        prefix, _, kind = name.rpartition(".")
        groups.setdefault(prefix, {})[kind] = tensor
    result: list[Module] = []
    for prefix, group in groups.items():
        result += _modules(prefix, group)
    return result


def _modules(prefix: str, group: dict[str, Stored]) -> list[Module]:
    names = set(group)
    if {"running_mean", "running_var"} <= names <= _BATCH_NORM and (
        "weight" in names or "num_batches_tracked" in names
    ):
        return [_batch_norm(prefix, group)]
    statistics = names & _STATISTICS
    means = {n for n in statistics if "mean" in n or n == "mu"}
    if means and statistics - means:
        keys = statistics | names & {"count", "current_count", "normalization_steps", "steps"}
        found = Module(prefix, "statistics", {k: group.pop(k) for k in sorted(keys)})
        return [found, *(_modules(prefix, group) if group else [])]
    aside = {
        k: group.pop(k) for k in sorted(names) if _ASIDE.fullmatch(k) and k not in ("scale", "mu")
    }
    result = [Module(prefix, "aside", aside)] if aside else []
    weight = group.get("weight")
    if weight is not None and set(group) <= {"weight", "bias"}:
        last = prefix.rpartition(".")[2]
        if len(weight.shape) == 2 and _NOISE_HEAD.fullmatch(last):
            return [*result, Module(prefix, "aside", group)]
        return [*result, _layer(prefix, group)]
    return [*result, *(_other(prefix, k, group) for k in group if _counts(k, group))]


def _counts(kind: str, group: Mapping[str, Stored]) -> bool:
    """Whether a message shall be of this tensor: the telling one of a module, not its bias."""
    return not (kind in ("weight", "bias") and len(group) > 1 and set(group) - {"weight", "bias"})


def _layer(prefix: str, group: Mapping[str, Stored]) -> Module:
    name, shape = quoted(_join(prefix, "weight")), group["weight"].shape
    if len(shape) == 2 and 0 not in shape:
        bias = group.get("bias")
        if bias is None or bias.shape == shape[:1]:
            return Module(prefix, "linear", group)
        text = quoted(_join(prefix, "bias"))
        reason = f"tensor {text} has shape {bias.shape}, and the weight {shape[0]} outputs"
        return Module(prefix, "other", group, reason)
    reason = f"tensor {name} has shape {shape}, not (outputs, inputs)"
    if shape == (1,) and "bias" not in group:
        reason += (
            ": the slope of a PReLU; name the layers alone, part=[...], and leaky_relu with that "
            "alpha as the activation"
        )
    elif len(shape) == 1 and 0 not in shape:
        norm = "LayerNorm" if "bias" in group else "LayerNorm or RMSNorm (or the slopes of a PReLU)"
        reason += f": the scale of a {norm}, which laminet does not have"
    elif len(shape) > 2:
        reason = f"tensor {name} has {len(shape)} axes, as of a convolution, not (outputs, inputs)"
    return Module(prefix, "other", group, reason)


def _batch_norm(prefix: str, group: Mapping[str, Stored]) -> Module:
    shape = group["running_mean"].shape
    for key, tensor in group.items():
        if key != "num_batches_tracked" and (tensor.shape != shape or len(shape) != 1):
            reason = (
                f"tensor {quoted(_join(prefix, key))} has shape {tensor.shape}, "
                "not one number for each feature of a batch normalisation"
            )
            return Module(prefix, "other", group, reason)
    return Module(prefix, "batch_norm", group)


def _other(prefix: str, kind: str, group: Mapping[str, Stored]) -> Module:
    name = quoted(_join(prefix, kind))
    if kind == "bias":
        reason = f"tensor {name} has no weight beside it"
    else:
        reason = f"tensor {name} is neither a weight nor a bias of a layer"
        if kind in _REASONS:
            reason += f": {_REASONS[kind]}"
    return Module(prefix, "other", {kind: group[kind]}, reason)


def _join(prefix: str, kind: str) -> str:
    return f"{prefix}.{kind}" if prefix else kind


def checked(modules: list[Module]) -> None:
    """Refuse a module that is no dense layer.

    Raises
    ------
    FormatError
        If there is one.
    """
    reasons = [m.reason for m in modules if m.kind == "other"]
    # What a lone bias is of, another tensor tells.
    reasons.sort(key=lambda reason: reason.endswith("no weight beside it"))
    if reasons:
        raise FormatError(reasons[0])
