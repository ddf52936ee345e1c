"""The part of a checkpoint that a user names: a prefix of any depth, or "actor" and "critic"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from laminet.core.errors import FormatError
from laminet.files.checkpoint import quoted
from laminet.interop.state_dicts.modules import Module
from laminet.interop.state_dicts.networks import Group, described, groups_of

__all__ = ["Series", "named", "series_in", "several", "under"]

_SYNONYMS = {
    "actor": ("actor", "policy", "pi"),
    "critic": ("critic", "value", "vf", "v"),
}
_ROLES = {"actor": "actor", "policy": "actor", "pi": "actor", "critic": "critic", "value": "critic"}
_MOST_LISTED = 6
# So many actors have a short name; of more, each prefix is as long as it is in the file.
_MOST_AGENTS = 20


@dataclass(frozen=True)
class _Convention:
    """Where a library keeps the layers of an actor or a critic, all below the prefix `within`.

    Attributes
    ----------
    series : tuple of str
        Prefixes in the order of the computation; a ``?`` marks what may be missing.
    beside : tuple of str
        Prefixes that take no part. Anything else would be a step that is not known.
    """

    role: str
    within: str
    series: tuple[str, ...]
    beside: tuple[str, ...] = ()


_TRUNKS = ("_body_endoder", "_body_encoder", "linear_encoder")  # ML-Agents spells it both ways
_CONVENTIONS = (
    # Stable-Baselines3: PPO and A2C; SAC.
    _Convention(
        "actor",
        "",
        ("mlp_extractor.shared_net?", "mlp_extractor.policy_net?", "action_net"),
        ("mlp_extractor.value_net", "value_net"),
    ),
    _Convention(
        "critic",
        "",
        ("mlp_extractor.shared_net?", "mlp_extractor.value_net?", "value_net"),
        ("mlp_extractor.policy_net", "action_net"),
    ),
    _Convention("actor", "actor", ("latent_pi?", "mu"), ("log_std",)),
    # rl_games: continuous actions, discrete ones; values of a trunk of their own, of a shared one.
    _Convention("actor", "a2c_network", ("actor_mlp?", "mu"), ("critic_mlp", "value", "sigma")),
    _Convention("actor", "a2c_network", ("actor_mlp?", "logits"), ("critic_mlp", "value")),
    _Convention(
        "critic", "a2c_network", ("critic_mlp", "value"), ("actor_mlp", "mu", "sigma", "logits")
    ),
    _Convention("critic", "a2c_network", ("actor_mlp?", "value"), ("mu", "sigma", "logits")),
    # skrl: the models that it makes itself.
    _Convention("actor", "policy", ("net_container", "policy_layer"), ("value_layer",)),
    _Convention("critic", "value", ("net_container", "value_layer"), ("policy_layer",)),
    # CleanRL.
    _Convention("actor", "", ("actor_mean",), ("critic",)),
    # ML-Agents.
    *(
        _Convention(
            "actor",
            "Policy",
            (f"network_body.{trunk}.seq_layers", "action_model._continuous_distribution.mu"),
        )
        for trunk in _TRUNKS
    ),
    *(
        _Convention(
            "critic",
            "Optimizer:critic",
            (f"network_body.{trunk}.seq_layers", "value_heads.value_heads.extrinsic"),
        )
        for trunk in _TRUNKS
    ),
)


@dataclass(frozen=True)
class Series:
    """Parts that follow one another, each with the modules below its prefix."""

    role: str
    parts: tuple[tuple[str, tuple[Module, ...]], ...]
    unknown: tuple[Module, ...] = ()


def under(modules: Sequence[Module], prefix: str) -> list[Module]:
    """Return the modules at a prefix and below it."""
    if not prefix:
        return list(modules)
    return [m for m in modules if m.prefix == prefix or m.prefix.startswith(f"{prefix}.")]


def series_in(modules: Sequence[Module]) -> dict[str, Series]:
    """Return the actors and critics that conventions of libraries find, by role.

    Of several of a role, as in a checkpoint of many agents, the name has the prefix before it.
    """
    found: dict[str, Series] = {}
    for convention in _CONVENTIONS:
        for base in _bases(modules, convention):
            name = f"{base}.{convention.role}" if base else convention.role
            if name not in found:
                found[name] = _series(modules, convention, base)
    return found


def _bases(modules: Sequence[Module], convention: _Convention) -> list[str]:
    """Return the prefixes below which all parts of a convention are."""
    needed = [_join(convention.within, p) for p in convention.series if not p.endswith("?")]
    last = needed[-1].split(".")
    bases: list[str] = []
    for module in modules:
        if len(bases) == _MOST_AGENTS:
            break
        parts = module.prefix.split(".")
        for start in range(len(parts) - len(last) + 1):
            if parts[start : start + len(last)] == last:
                base = ".".join(parts[:start])
                if base not in bases and all(under(modules, _join(base, p)) for p in needed):
                    bases.append(base)
                break
    bases = [b for b in bases if _is_dense(modules, convention, b)]
    # Below another, optional parts would be taken for a network of their own.
    return [b for b in bases if not any(b != o and _is_below(b, o) for o in bases)]


def _is_below(prefix: str, other: str) -> bool:
    return not other or prefix.startswith(f"{other}.")


def _is_dense(modules: Sequence[Module], convention: _Convention, base: str) -> bool:
    """Whether the end of the series is one layer, as the conventions have it, or a sequence."""
    end = under(modules, _join(base, convention.within, convention.series[-1]))
    return any(m.kind == "linear" for m in end)


def _series(modules: Sequence[Module], convention: _Convention, base: str) -> Series:
    place = _join(base, convention.within)
    parts = []
    for part in convention.series:
        prefix = _join(place, part.rstrip("?"))
        if inside := under(modules, prefix):
            parts.append((prefix, tuple(inside)))
    known = [m for _, inside in parts for m in inside]
    for part in convention.beside:
        known += under(modules, _join(place, part))
    unknown = [
        m
        for m in under(modules, place)
        if m.kind in ("linear", "batch_norm", "other") and m not in known
    ]
    return Series(convention.role, tuple(parts), tuple(unknown))


def named(modules: Sequence[Module], name: str) -> Series:
    """Return the part of that name.

    Parameters
    ----------
    modules : sequence of Module
    name : str
        A prefix of any depth, whole or without its beginning, levels parted by dots or slashes; or
        "actor" or "critic" where the checkpoint follows the conventions of a library.

    Raises
    ------
    FormatError
        If there is none of that name, or more than one.
    """
    parts = [p for p in name.replace("/", ".").split(".") if p]
    conventions = series_in(modules)
    role = _ROLES.get(parts[-1].lower()) if parts else None
    if role is not None:
        wanted = ".".join([*parts[:-1], role])
        hits = [key for key in conventions if key == wanted or key.endswith(f".{wanted}")]
        if wanted in hits or len(hits) == 1:
            return conventions[wanted if wanted in hits else hits[0]]
        if hits:
            raise FormatError(f"part {quoted(name)} is one of several: {_names(hits)}")
    shorter = [p.removesuffix("_state_dict") for p in parts]
    spellings = [parts, shorter, [p for p in shorter if p not in ("model", "module", "")]]
    spellings += [[*parts[:-1], s] for s in _SYNONYMS.get(role or "", ())]
    for spelling in spellings:
        hits = _prefixes(modules, spelling) if spelling else []
        if len(hits) == 1:
            return Series("", ((hits[0], tuple(under(modules, hits[0]))),))
        if hits:
            raise FormatError(f"part {quoted(name)} is one of several: {_names(hits)}")
    groups = groups_of(modules)
    there = [*conventions, *(n for g in groups for n in g.names)]
    raise FormatError(f"there is no part {quoted(name)}; there are {_names(there) or 'none'}")


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(quoted(n) for n in names[:_MOST_LISTED])
    return shown + (", ..." if len(names) > _MOST_LISTED else "")


def _prefixes(modules: Sequence[Module], parts: list[str]) -> list[str]:
    """Return the prefix of these parts, or else those that end with them, but none in another."""
    prefixes: dict[str, None] = {}
    for module in modules:
        if module.kind in ("linear", "batch_norm", "other"):
            levels = module.prefix.split(".")
            prefixes.update(
                dict.fromkeys(".".join(levels[:end]) for end in range(1, len(levels) + 1))
            )
    whole = ".".join(parts)
    if whole in prefixes:
        return [whole]
    hits = {p: None for p in prefixes if p.endswith(f".{whole}")}
    return [h for h in hits if not any(above in hits for above in _above(h))]


def _above(prefix: str) -> list[str]:
    levels = prefix.split(".")
    return [".".join(levels[:end]) for end in range(1, len(levels))]


def several(groups: Sequence[Group], modules: Sequence[Module]) -> str:
    """Return the message about networks of which one must be named."""
    lines, names = [], []
    covered: list[Module] = []
    for name, series in series_in(modules).items():
        inside = [m for _, part in series.parts for m in part]
        sizes = described(Group((name,), tuple(inside)))
        lines.append(f"{sizes} ({', '.join(quoted(p) for p, _ in series.parts)})")
        names.append(name)
        covered += inside
    for group in groups:
        if not all(m in covered for m in group.layers):
            lines.append(described(group))
            names += group.names if len(group.names) == 1 else ()
    names += groups[0].names
    shown = "; ".join(lines[:_MOST_LISTED]) + ("; ..." if len(lines) > _MOST_LISTED else "")
    text = (
        f"the order of the layers is not certain: there are {len(lines)} networks, {shown}. Name "
        f"one: part={_argument(names[0])}"
    )
    chaining = [] if covered else _chaining(groups)
    if chaining:
        order = ", ".join(map(_argument, chaining))
        text += f"; or parts that follow one another, in their order: part=[{order}]"
    return text


def _argument(name: str) -> str:
    return f'"{quoted(name)[1:-1]}"'


def _chaining(groups: Sequence[Group]) -> list[str]:
    """Return names of parts that could follow one another, for an example in a message."""
    for one in groups[:20]:
        for other in groups[:20]:
            if one is not other and one.layers[-1].width == other.layers[0].inputs:
                return [*one.names[:3], *other.names[:3]]
    return []


def _join(*parts: str) -> str:
    return ".".join(p for p in parts if p)
