"""Networks in files of every kind that laminet reads: `load`, and what writes by the name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from laminet.core.activation import Activation
from laminet.core.errors import FormatError
from laminet.core.floating_point import silent
from laminet.files.atomic import errors_about, text_path
from laminet.files.checkpoint import Checkpoint
from laminet.files.safetensors_files import read, save
from laminet.interop.file_kinds import kind_of

if TYPE_CHECKING:
    from laminet.core.mlp import MLP
    from laminet.core.name_types import ActivationName, HeadName
    from laminet.core.outputs import Outputs

__all__ = ["load", "read_file", "write_network"]


@silent
def load(
    path: str | os.PathLike[str],
    activations: Sequence[ActivationName | Activation] | None = None,
    *,
    head: HeadName | None = None,
    part: str | Sequence[str] | None = None,
    normalizer: str | None = None,
    batch_norm: str | None = None,
    outputs: Outputs | None = None,
) -> MLP:
    """Read a network from a file.

    Parameters
    ----------
    path : str or path-like
        A file that `MLP.save` wrote; an ONNX model; or a state dict or checkpoint, in safetensors
        or as ``torch.save`` writes it, Stable-Baselines3's zip archives included. The content of
        the file tells which, not its name.
    activations : sequence of str or Activation, optional
        Of a state dict, one for each layer, "identity" where there is none.
    head : {None, "softmax", "log_softmax"}
        Of a state dict: what follows the last layer.
    part : str or sequence of str, optional
        Of a checkpoint that holds several networks, the prefix of the one that is meant, whole
        (``"model.generator"``) or without its beginning (``"generator"``); of the checkpoints of
        Stable-Baselines3, skrl, rl_games, rsl_rl, CleanRL and ML-Agents also ``"actor"`` or
        ``"critic"``. A sequence names parts that follow one another: ``["encoder", "decoder"]``.
    normalizer : {None, "fold", "leave"}
        What becomes of a normaliser that the checkpoint holds beside the network: with "fold" the
        network takes raw observations and begins with the normaliser, clipping included; with
        "leave" it takes normalised ones. By default it is folded if all that it computes is
        certain (rl_games, rsl_rl, ML-Agents), and else refused.
    batch_norm : {None, "before", "after"}
        On which side of the activations batch normalisations are, where names do not tell it.
    outputs : Quantities, Classes or Labels, optional
        What the outputs stand for, in place of what the file says.

    Returns
    -------
    MLP
        The network. One that was saved is equal, bit for bit. Of a state dict a float64 network if
        a weight is float64, else float32; float16 and bfloat16 are widened exactly.

    Raises
    ------
    FormatError
        If the file is no network, is damaged, or was made by a later laminet. Of a state dict, if
        it holds several networks and `part` names none, if the order of the layers is not certain,
        or if there are tensors of another kind of layer. Numbers in the names tell the order
        (``0``, ``2``, ``10``; ``fc1``, ``fc2``), and where names differ otherwise, shapes do, if
        only one order fits.
    ValueError
        If `activations` are not as many as the layers, or are given for a file that names its own.
    OSError
        If the file is missing or cannot be read.
    ImportError
        If the package that reads such a file, onnx or torch, is not installed.
    TypeError
        If `path` is neither a str nor path-like.

    Notes
    -----
    A batch normalisation in a state dict is folded into the layer beside it, as `from_torch` does.
    A state dict does not hold its ``eps``, which is taken to be PyTorch's default, 1e-5. In a
    sequence of numbered modules it stands before the activation if its number is that after the
    layer's; under a name of its own (``fc1``, ``bn1``) it belongs to the layer of its number, and
    `batch_norm` says on which side of the activation it is.

    Of a normaliser of skrl a checkpoint does not say where it clips: "fold" takes skrl's defaults,
    1e-8 and 5. ``laminet info FILE`` lists all that a checkpoint holds.

    Examples
    --------
    >>> import tempfile, laminet as ln
    >>> net = ln.MLP.init([4, 8, 2], activation="tanh", seed=0)
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     net.save(f"{directory}/net.safetensors")
    ...     again = ln.load(f"{directory}/net.safetensors")
    >>> again == net
    True
    """
    name = text_path(path)
    try:
        found = read_file(name)
        if isinstance(found, Checkpoint):
            from laminet.interop.state_dicts import network_of_checkpoint

            net = network_of_checkpoint(found, activations, head, part, normalizer, batch_norm)
        else:
            net = found
            _check_own(
                name,
                activations=activations,
                head=head,
                part=part,
                normalizer=normalizer,
                batch_norm=batch_norm,
            )
    except FormatError as error:
        if str(error).startswith(str(FormatError(f"{name}: "))):
            raise
        raise FormatError(f"{name}: {error}") from error.__cause__
    return net if outputs is None else net.with_outputs(outputs)


def read_file(name: str) -> MLP | Checkpoint:
    """Return the network in a file, or the checkpoint of which it is a part.

    Raises
    ------
    FormatError
        If the file is no network; without the name of the file but for ONNX.
    """
    with errors_about(name):
        kind = kind_of(name)
        try:
            # Each is loaded where there is such a file: they are most of the package.
            if kind == "onnx":
                from laminet.interop.onnx import from_onnx

                return from_onnx(name)
            if kind == "safetensors":
                return read(name)
            from laminet.interop.torch_files import read_checkpoint

            if kind == "stable-baselines3":
                return read_checkpoint(name, "policy.pth")
            return read_checkpoint(name)
        except ImportError as error:
            raise ImportError(f"{name}: {error}", name=error.name) from error


def _check_own(name: str, **given: object) -> None:
    """Refuse what only a state dict needs for a file that says it itself."""
    for argument, value in given.items():
        if value is not None:
            raise ValueError(
                f"{name}: {argument} is given for a file of one whole network, which laminet saved "
                f"with its own activations, or which is ONNX: leave {argument} out"
            )


def write_network(net: MLP, path: str | os.PathLike[str]) -> None:
    """Write a network: as ``.onnx`` if the name ends so, or as ``.safetensors``.

    Raises
    ------
    ValueError
        If the name ends otherwise, or the format cannot hold the network.
    OSError
        If the file cannot be written.
    ImportError
        If the package onnx is not installed.
    """
    suffix = Path(text_path(path)).suffix.lower()
    if suffix == ".onnx":
        from laminet.interop.onnx import to_onnx

        to_onnx(net, path)
    elif suffix == ".safetensors":
        save(net, path)
    else:
        raise ValueError(f"{path}: the name must end in .safetensors or .onnx")
