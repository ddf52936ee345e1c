"""Names that mean a kind of file: none is written under the name of another."""

from __future__ import annotations

import os
from pathlib import Path

from laminet.files.atomic import text_path

__all__ = ["require_suffix"]

# The endings of names, and what writes such a file.
_KINDS = {
    ".safetensors": "net.save(path)",
    ".onnx": "ln.to_onnx(net, path)",
    **dict.fromkeys((".pt", ".pth", ".ckpt"), "torch.save(ln.to_torch(net).state_dict(), path)"),
    **dict.fromkeys((".pkl", ".pickle"), "pickle.dump(net, file)"),
    ".joblib": "joblib.dump(net, path)",
    **dict.fromkeys((".h5", ".hdf5", ".keras", ".tflite", ".pb", ".pt2", ".nnet", ".mat"), ""),
    **dict.fromkeys((".npz", ".npy", ".csv", ".parquet", ".json", ".xml", ".yaml", ".txt"), ""),
    **dict.fromkeys((".zip", ".gz", ".msgpack"), ""),
}
_WRITES = {".safetensors": "safetensors", ".onnx": "ONNX"}


def require_suffix(path: str | os.PathLike[str], own: str, function: str) -> None:
    """Refuse a name that ends as files of another kind do; any other ending will do.

    Parameters
    ----------
    path : str or path-like
    own : {".safetensors", ".onnx"}
        The ending of what is written.
    function : str
        The name of the function that writes it.

    Raises
    ------
    ValueError
        If the name is one of another kind.
    """
    suffix = Path(text_path(path)).suffix.lower()
    if suffix == own or suffix not in _KINDS:
        return
    call = _KINDS[suffix]
    raise ValueError(
        f"{text_path(path)}: {function} writes {_WRITES[own]}, and the name is of another kind of "
        f"file: end it in {own}{f', or call {call}' if call else ''}"
    )
