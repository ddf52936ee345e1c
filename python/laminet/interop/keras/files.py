"""Keras models in files: ``.keras`` archives and ``.h5``.

What a file says is looked through before Keras rebuilds the model of it: there may be none but
Keras's own classes that a network can be made of, so that nothing in a file chooses what is run.
Keras then gets a file with what matters, the layers and their weights: no optimiser, no losses, no
initialisers, which may be code of others.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from laminet.core.errors import FormatError
from laminet.files.atomic import errors_about, text_path
from laminet.interop.keras.activations import HARD_SIGMOID_OF_KERAS_2
from laminet.interop.keras.configuration import cleaned

__all__ = ["read_model"]

_LONGEST_CONFIGURATION = 2**28
_WEIGHTS = "model.weights.h5"
_REBUILD = (
    "rebuild the model in Keras, load its weights (model.load_weights), and give the model itself"
)


def read_model(path: str | os.PathLike[str]) -> Any:
    """Return the Keras model in a file.

    Raises
    ------
    FormatError
        If the file is none of Keras, or holds what is not to be had without running code of others.
    OSError
        If the file cannot be read.
    ImportError
        If Keras is not installed, or its back end is not.
    """
    name = text_path(path)
    with errors_about(name):
        if os.path.isdir(name):
            raise FormatError(f"{name}: {_of_directory(name)}")
        if not stat.S_ISREG(os.stat(name).st_mode):
            raise FormatError(f"{name}: not a regular file")
        with open(name, "rb") as file:
            start = file.read(8)
    if not start.startswith((b"PK\x03\x04", b"\x89HDF\r\n\x1a\n")):
        raise FormatError(f"{name}: is neither a .keras archive nor an .h5 file")
    keras = _keras()
    try:
        with _rebuilt_file(name, archive=start.startswith(b"PK")) as (copy, legacy):
            model = _loaded(keras, copy)
        if not isinstance(model, keras.Model):
            raise ValueError(f"holds a {type(model).__name__}, not a model")
    except FormatError:
        raise
    except ValueError as error:
        raise FormatError(f"{name}: {error}") from None
    if legacy:
        for layer in model._flatten_layers():
            if getattr(layer, "activation", None) is keras.activations.hard_sigmoid:
                layer.activation = HARD_SIGMOID_OF_KERAS_2
    return model


def _of_directory(name: str) -> str:
    if any((Path(name) / part).exists() for part in ("saved_model.pb", "keras_metadata.pb")):
        return (
            "is a SavedModel of TensorFlow, a graph that is not read: load it in Keras 2 "
            "(tf_keras.models.load_model) and save it as an .h5 file"
        )
    return "is a directory, not a .keras or .h5 file"


def _keras() -> Any:
    try:
        import keras
    except ImportError as error:
        raise ImportError(
            "Keras models take the package keras and one of its back ends, which KERAS_BACKEND "
            f"names (torch, jax or tensorflow): {error.name or 'one of them'} is not installed",
            name=error.name,
        ) from None
    return keras


@contextmanager
def _rebuilt_file(name: str, archive: bool) -> Iterator[tuple[str, bool]]:
    """Write what matters of a file into another one; give its name, and whether it is of Keras 2.

    Raises
    ------
    ValueError
        If the file is no whole model, or needs code of others.
    """
    with tempfile.TemporaryDirectory(prefix="laminet") as directory:
        copy = str(Path(directory) / ("model.keras" if archive else "model.h5"))
        yield copy, (_copy_archive if archive else _copy_hdf5)(name, copy)


def _copy_archive(name: str, copy: str) -> bool:
    version = "3"
    with _undamaged(), zipfile.ZipFile(name) as source:
        members = {info.filename: info for info in source.infolist()}
        if "config.json" not in members or _WEIGHTS not in members:
            raise _UnreadableError(f"is no model of Keras: it has no config.json or {_WEIGHTS}")
        if members["config.json"].file_size > _LONGEST_CONFIGURATION:
            raise _UnreadableError("describes its layers in more than 256 MiB")
        text = source.read("config.json")
        if "metadata.json" in members and members["metadata.json"].file_size < 2**16:
            version = _version(source.read("metadata.json"))
    description = json.dumps(cleaned(_parsed(text)))
    with _undamaged(), zipfile.ZipFile(name) as source, zipfile.ZipFile(copy, "w") as target:
        target.writestr("metadata.json", json.dumps({"keras_version": "3"}))
        target.writestr("config.json", description)
        with (
            source.open(_WEIGHTS) as weights,
            target.open(_WEIGHTS, "w", force_zip64=True) as out,
        ):
            shutil.copyfileobj(weights, out, 2**20)
    return version.startswith(("0", "1", "2"))


def _version(text: bytes) -> str:
    try:
        return str(json.loads(text)["keras_version"])
    except (ValueError, TypeError, KeyError):
        return "3"


def _copy_hdf5(name: str, copy: str) -> bool:
    import h5py

    with _undamaged(), h5py.File(name, "r") as source:
        configuration = source.attrs.get("model_config")
        version = source.attrs.get("keras_version", "2")
        if configuration is None or "model_weights" not in source:
            raise _UnreadableError(f"holds weights without a model: {_REBUILD}")
        _refuse_links(source["model_weights"])
    text = version.decode("utf-8", "replace") if isinstance(version, bytes) else str(version)
    description = json.dumps(cleaned(_parsed(configuration)))
    with _undamaged(), h5py.File(name, "r") as source, h5py.File(copy, "w") as target:
        target.attrs["model_config"] = description
        target.attrs["keras_version"] = text
        source.copy("model_weights", target)
    return text.startswith(("0", "1", "2"))


class _UnreadableError(ValueError):
    """A file is whole, and none that can be read; the message says why."""


@contextmanager
def _undamaged() -> Iterator[None]:
    """Say in our words what h5py and zipfile say in errors of many kinds."""
    try:
        yield
    except _UnreadableError:
        raise
    except Exception as error:
        # An offset before the file's start is an invalid argument.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise ValueError("is damaged, or locked: it cannot be unpacked") from None


def _refuse_links(group: Any) -> None:
    """Refuse weights that lie in other files."""
    import h5py

    for key in group:
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise _UnreadableError(f"has weights {key!r} that lie elsewhere")
        part = group[key]
        if isinstance(part, h5py.Group):
            _refuse_links(part)
        elif part.external or part.is_virtual:
            raise _UnreadableError(f"has weights {key!r} that lie in another file")


def _parsed(text: Any) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError, TypeError):
        raise ValueError("describes its layers in something else than JSON") from None


def _loaded(keras: Any, copy: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return keras.saving.load_model(copy, compile=False, safe_mode=True)
    except Exception as error:
        # Of any kind; their texts are long, and speak of the copy.
        raise ValueError(
            f"Keras {keras.__version__} cannot rebuild the model in it ({type(error).__name__}): "
            f"{_REBUILD}"
        ) from None
