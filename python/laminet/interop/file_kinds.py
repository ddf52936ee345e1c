"""What kind of file one is, told by its content: the name may be any."""

from __future__ import annotations

import errno
import os
import stat
import zipfile
from pathlib import Path
from typing import NoReturn

from laminet.core.errors import FormatError

__all__ = ["kind_of"]

# A zip directory says how large its members are when unpacked. Weights hardly shrink: this much
# more than the file is a bomb.
_UNPACKED_ROOM = 64 * 2**20
_UNPACKED_RATIO = 16
_MOST_MEMBERS = 100_000

_KERAS = "ln.from_keras({path!r}) reads it"
_PICKLE = (
    "load it with what wrote it, if you trust it (loading runs code of the file), then "
    "ln.from_sklearn(joblib.load({path!r})) or ln.from_torch(module)"
)
_TENSORFLOW = "convert it with tf2onnx, and ln.from_onnx reads the result"
_UNPACK = "unpack it first"

#: First bytes of files, what these are, and what reads them.
_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes for .h5", _KERAS),
    (b"\x1f\x8b", "a gzip file", _UNPACK),
    (b"BZh", "a bzip2 file", _UNPACK),
    (b"\xfd7zXZ\x00", "an xz file", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstd file", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z file", _UNPACK),
    (b"\x93NUMPY", "a NumPy array (.npy)", "np.load reads it; give the weights to ln.Dense"),
    (b"GGUF", "a GGUF file of a language model", "laminet has no use for it"),
    (b"MATLAB", "a MATLAB file", "scipy.io.loadmat reads it; give the weights to ln.Dense"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself", "git lfs pull"),
    (b"ftrt", "a TensorRT engine", "export the model to ONNX instead"),
    (b"//", "a text, as of a .nnet file", "give its weights to ln.Dense"),
    (b"<?xml", "an XML file, as of OpenVINO or PMML", "export the model to ONNX instead"),
    (b"<", "a text (HTML?), no network", "download the file itself"),
    (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "torch", ""),
    *(
        (bytes([0x80, protocol]), "a pickle, as of pickle.dump or joblib.dump", _PICKLE)
        for protocol in (2, 3, 4, 5)
    ),
    (b"ZF", "an old joblib file", _PICKLE),
    *(
        (bytes([0x78, level]), "a compressed joblib file", _PICKLE)
        for level in (1, 0x5E, 0x9C, 0xDA)
    ),
    (b"{", "a JSON text", "give its weights to ln.Dense"),
    (b"[", "a JSON text", "give its weights to ln.Dense"),
)
_TEXT = bytes(range(0x20, 0x7F)) + b"\t\n\r"
_BY_NAME = {
    ".pb": ("a TensorFlow graph", _TENSORFLOW),
    ".nnet": ("a text, as of a .nnet file", "give its weights to ln.Dense"),
    ".mat": ("a MATLAB file", "scipy.io.loadmat reads it; give the weights to ln.Dense"),
    ".pdparams": ("a file of PaddlePaddle", "export the model to ONNX instead"),
    ".msgpack": ("a file of Flax", "give its weights to ln.Dense"),
    ".pkl": ("a pickle, as of pickle.dump or joblib.dump", _PICKLE),
    ".pickle": ("a pickle, as of pickle.dump or joblib.dump", _PICKLE),
    ".joblib": ("a pickle, as of pickle.dump or joblib.dump", _PICKLE),
}


def kind_of(path: str) -> str:
    """Return what a file is.

    Returns
    -------
    {"safetensors", "onnx", "torch", "stable-baselines3"}

    Raises
    ------
    FormatError
        If it is of none of these kinds; the message says of which it is, and what reads it.
    OSError
        If the file is missing or cannot be read.
    """
    # Before open(): opening a named pipe would wait for a writer, perhaps for ever.
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        _fail_directory(path)
    if not stat.S_ISREG(mode):
        raise FormatError("not a regular file")
    with open(path, "rb") as file:
        begin = file.read(512)
    suffix = Path(path).suffix.lower()
    # A safetensors file is the length of a header, and the header, which is JSON.
    length = int.from_bytes(begin[:8], "little")
    is_text = all(byte in _TEXT for byte in begin[:8])
    if begin[8:9] == b"{" and not is_text and begin[:1] != b"\x80":
        return "safetensors"
    if suffix == ".safetensors" and (len(begin) < 8 or length <= os.stat(path).st_size - 8):
        return "safetensors"
    if begin.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _kind_of_zip(path, suffix)
    if begin[4:8] == b"TFL3":
        _fail("a TensorFlow Lite model", _TENSORFLOW, path)
    for magic, kind, remedy in _MAGIC:
        if begin.startswith(magic):
            if kind == "torch":
                return kind
            _fail(kind, remedy, path)
    if suffix == ".onnx" or _looks_like_onnx(begin):
        return "onnx"
    if suffix == ".safetensors":
        raise FormatError("no safetensors file, whatever its name says, or damaged")
    if suffix in _BY_NAME:
        _fail(*_BY_NAME[suffix], path)
    if suffix in (".pt", ".pth", ".ckpt") and begin:
        raise FormatError(
            "PyTorch's loader of weights refuses it: not a file that torch.save writes, or damaged"
        )
    if len(begin) < 8:
        raise FormatError(f"the file has {len(begin)} bytes: no network is so short")
    raise FormatError(
        "no kind of file that laminet reads: those are .safetensors, .onnx, and state dicts and "
        "checkpoints that torch.save writes (.pt, .pth, .ckpt)"
    )


def _looks_like_onnx(begin: bytes) -> bool:
    """Whether a file begins as a ModelProto does: with a small version and another known field."""
    return (
        len(begin) > 3 and begin[0] == 0x08 and begin[1] < 0x20 and begin[2] in b"\x12\x1a\x28\x3aB"
    )


def _fail(kind: str, remedy: str, path: str) -> NoReturn:
    raise FormatError(f"is {kind}: {remedy.format(path=Path(path).name)}")


def _fail_directory(path: str) -> NoReturn:
    if (Path(path) / "saved_model.pb").exists():
        _fail("a directory, not a file: a TensorFlow SavedModel", _TENSORFLOW, path)
    raise FormatError("a directory, not a file: name the file in it")


def _kind_of_zip(path: str, suffix: str) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError):
        raise FormatError("a zip archive that is damaged") from None
    except OSError as error:
        if error.errno != errno.EINVAL:  # an offset before the file's start
            raise
        raise FormatError("a zip archive that is damaged") from None
    size = os.stat(path).st_size
    unpacked = sum(m.file_size for m in members)
    if unpacked > _UNPACKED_ROOM + _UNPACKED_RATIO * size or len(members) > _MOST_MEMBERS:
        raise FormatError(
            f"a zip archive of {size} bytes that claims to hold {unpacked}: more than weights do"
        )
    names = [m.filename for m in members]
    last = {n.rpartition("/")[2] for n in names}
    if any("/code/" in n for n in names) or "constants.pkl" in last:
        call = f"ln.from_torch(torch.jit.load({Path(path).name!r}))"
        raise FormatError(f"is a TorchScript archive, a whole module: {call} reads it")
    if "data.pkl" in last:
        return "torch"
    if "policy.pth" in names:
        return "stable-baselines3"
    if {"config.json", "model.weights.h5"} <= last:
        _fail("a Keras model", _KERAS, path)
    if suffix == ".pt2" or any(
        n.endswith(("serialized_exported_program.json", "models/model.json")) for n in names
    ):
        _fail(
            "a program of torch.export", "ln.from_torch(torch.export.load({path!r})) reads it", path
        )
    if names and all(n.endswith(".npy") for n in names):
        _fail("a NumPy archive (.npz)", "np.load reads it; give the weights to ln.Dense", path)
    if "parameter_list" in names:
        _fail("an archive of Stable Baselines 2", "give its weights to ln.Dense", path)
    inside = ", ".join(ascii(n)[:40] for n in names[:4]) + (", ..." if len(names) > 4 else "")
    raise FormatError(f"is a zip archive of no kind that laminet knows ({inside}): {_UNPACK}")
