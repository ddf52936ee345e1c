"""Checkpoints that ``torch.save`` wrote, by PyTorch's loader of weights, which runs no code."""

from __future__ import annotations

import errno
import io
import os
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from laminet.core.errors import FormatError
from laminet.files.checkpoint import Opaque, class_of, is_mapping
from laminet.interop.state_dicts import Checkpoint, Stored, checkpoint_of

__all__ = ["read_checkpoint"]

# Tensors may share their memory; what is read of them in all is limited by the file.
_READ_RATIO = 8
_READ_ROOM = 2**24


def read_checkpoint(path: str, member: str | None = None) -> Checkpoint:
    """Return what a file that ``torch.save`` wrote holds, or one that is a member of a zip archive.

    Raises
    ------
    FormatError
        If it is no such file, or holds no tensors by name.
    ImportError
        If PyTorch is not installed.
    OSError
        If the file cannot be read.
    """
    try:
        import torch  # noqa: F401 - to see whether it is there
    except ImportError as error:
        message = "state dicts and checkpoints of PyTorch take the package torch: pip install torch"
        raise ImportError(message, name="torch") from error
    with open(path, "rb") as file:
        data: Any = file
        if member is not None:
            data = _member(file, member)
        loaded = _loaded(data)
    if is_mapping(loaded):
        return checkpoint_of(loaded, _reader(os.stat(path).st_size))
    kind = class_of(loaded)
    if kind:
        raise FormatError(
            f"PyTorch's loader of weights refuses it: it is a whole object of the class {kind!r}, "
            "and to load that runs code of the file. If you trust it: "
            "ln.from_torch(torch.load(path, weights_only=False)); or save module.state_dict()"
        )
    raise FormatError("holds no state dict, a mapping of names to tensors")


def _member(file: Any, member: str) -> io.BytesIO:
    try:
        with zipfile.ZipFile(file) as archive:
            return io.BytesIO(archive.read(member))
    except (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError, EOFError):
        raise FormatError(f"{member} in the archive is damaged") from None
    except OSError as error:
        if error.errno != errno.EINVAL:  # an offset before the file's start
            raise
        raise FormatError(f"{member} in the archive is damaged") from None


def _loaded(file: Any) -> Any:
    """Load weights, and in the place of every object that is none a stand-in."""
    import torch

    unsafe = _unsafe_globals(file)
    attempts: list[Callable[[str], Any]] = [_dict_stand_in, _stand_in] if unsafe else [_stand_in]
    for make in attempts:
        stand_ins = [
            (_stand_in(name) if name.startswith("numpy.") else make(name), name) for name in unsafe
        ]
        file.seek(0)
        try:
            allowed = torch.serialization.safe_globals(stand_ins) if unsafe else nullcontext()
            with warnings.catch_warnings(), allowed:
                warnings.simplefilter("ignore")
                return torch.load(file, map_location="cpu", weights_only=True)
        except OSError:
            raise
        except Exception:  # of many kinds, with advice to load the file unsafely
            continue
    if unsafe:
        names = ", ".join(ascii(n)[:60] for n in sorted(unsafe)[:3])
        raise FormatError(
            f"PyTorch's loader of weights refuses it: it holds objects beside tensors ({names}), "
            "and to load these runs code of the file. If you trust it: torch.load(path, "
            "weights_only=False), then save its state dict, or ln.from_torch of its module"
        )
    raise FormatError("PyTorch's loader of weights refuses it: damaged, or no file of torch.save")


def _unsafe_globals(file: Any) -> list[str]:
    """Return the classes and functions that the file names and the loader does not know."""
    import torch

    find = getattr(torch.serialization, "get_unsafe_globals_in_checkpoint", None)
    if find is None:
        return []
    try:
        return list(find(file))
    except Exception:
        return []  # an old kind of file, or a damaged one: the loader will tell


def _stand_in(name: str) -> Any:
    """Return a class whose objects forget all that they are given."""

    def forget(self: Any, *args: Any, **kwargs: Any) -> None:
        pass

    def new(cls: Any, *args: Any, **kwargs: Any) -> Any:
        return object.__new__(cls)

    members = {"__new__": new, "__init__": forget, "__setstate__": forget, "laminet_class": name}
    return type("object", (Opaque,), members)


def _dict_stand_in(name: str) -> Any:
    """Return a class that makes mappings, which hold the entries of one that is pickled."""

    def new(cls: Any, *args: Any, **kwargs: Any) -> Any:
        result: Any = OrderedDict()
        result.__dict__["laminet_class"] = name
        return result

    return type("object", (), {"__new__": new})


def _reader(size: int) -> Callable[[Any, str], Stored | None]:
    """Return what tells tensors, and reads no more than the file can hold."""
    import torch

    from laminet.interop.pytorch.values import as_array

    left = _READ_ROOM + _READ_RATIO * size

    def stored(value: Any, name: str) -> Stored | None:
        if not isinstance(value, torch.Tensor):
            return None
        dtype = str(value.dtype).removeprefix("torch.")

        def read() -> Any:
            nonlocal left
            where = f"tensor {ascii(name)[:60]}"
            if value.layout != torch.strided or value.is_quantized or value.is_meta:
                raise FormatError(f"{where} is no dense tensor of numbers, but sparse or quantised")
            if value.dim() == 0 and not value.is_floating_point() and not value.is_complex():
                return value.to(torch.float64).numpy()
            if not value.is_floating_point() or value.element_size() < 2:
                raise FormatError(
                    f"{where} holds {dtype}: numbers of a quantised network, or no weights at all"
                )
            needed = value.numel() * value.element_size()
            left -= needed
            if needed > value.untyped_storage().nbytes() or left < 0:
                raise FormatError(f"{where} claims more numbers than the file holds")
            return as_array(value, where)

        try:
            shape = tuple(value.shape)
        except RuntimeError:
            return Stored((), dtype, read)  # a nested tensor, which has no shape
        return Stored(shape, dtype, read)

    return stored
