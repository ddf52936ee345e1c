"""What a file is comes from its content; what laminet does not read is named as what it is."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import struct
import sys
import zipfile

import numpy as np
import pytest
import safetensors.numpy
import torch
from command import run
from torch import nn

import laminet as ln
from laminet.cli import main


@pytest.fixture(autouse=True)
def _in_temporary_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def net():
    layers = ln.MLP.init([3, 5, 2], activation="tanh", seed=0).layers
    # Biases that are not zero, and so in every kind of file.
    return ln.MLP(
        ln.Dense(layer.weight, np.arange(1, len(layer.bias) + 1), layer.activation)
        for layer in layers
    )


def zipped(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), content)
    return buffer.getvalue()


def npz():
    buffer = io.BytesIO()
    np.savez(buffer, a=np.ones(3), b=np.ones(2))
    return buffer.getvalue()


def script():
    buffer = io.BytesIO()
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.script(nn.Sequential(nn.Linear(2, 2))), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", [".safetensors", ".onnx", ".pt", ".ckpt", ".bin", ".zip", ""])
def test_every_kind_under_every_name(net, suffix):
    module = ln.to_torch(net)
    functions = ["tanh", "identity"]
    net.save("own")
    ln.to_onnx(net, "model")
    torch.save(module.state_dict(), "state")
    torch.save(module.state_dict(), "old", _use_new_zipfile_serialization=False)
    arrays = {k: v.numpy() for k, v in module.state_dict().items()}
    safetensors.numpy.save_file(arrays, "arrays")
    for source, arguments in (
        ("own", []),
        ("model", []),
        ("state", [functions]),
        ("old", [functions]),
        ("arrays", [functions]),
    ):
        os.rename(source, "file" + suffix)
        assert ln.load("file" + suffix, *arguments) == net
        assert main(["info", "file" + suffix]) == 0


KINDS = {
    "gzip": (gzip.compress(b"text"), "is a gzip file: unpack it"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(99), "an HDF5 file, as Keras writes", "ln.from_keras("),
    "keras": (
        zipped(config_dot_json="{}", metadata_dot_json="{}", model_dot_weights_dot_h5="x"),
        "is a Keras model: ln.from_keras(",
    ),
    "torchscript": (script, "a TorchScript archive", "ln.from_torch(torch.jit.load("),
    "pickle": (pickle.dumps([1, 2]), "is a pickle, as of pickle.dump or joblib.dump"),
    "joblib": (pickle.dumps([1], protocol=3), "ln.from_sklearn(joblib.load("),
    "npz": (npz, "is a NumPy archive (.npz)"),
    "npy": (b"\x93NUMPY\x01\x00" + bytes(99), "is a NumPy array (.npy)"),
    "tflite": (b"\x1c\x00\x00\x00TFL3" + bytes(99), "is a TensorFlow Lite model"),
    "json": (json.dumps({"layers": []}).encode(), "is a JSON text"),
    "json list": (json.dumps([1, 2, 3, 4]).encode(), "is a JSON text"),
    "matlab": (b"MATLAB 5.0 MAT-file" + bytes(199), "is a MATLAB file"),
    "nnet": (b"// Neural Network File Format by Kyle Julian\n3,2\n", ".nnet file"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
    "html": (b"<!DOCTYPE html><html></html>", "no network: download the file itself"),
    "stable baselines 2": (zipped(data="{}", parameter_list="[]", parameters="x"), "Baselines 2"),
    "zip": (zipped(readme_dot_txt="x"), "a zip archive of no kind that laminet knows"),
    "text": (b"hello, world, this is nothing at all", "no kind of file that laminet reads"),
    "empty": (b"", "the file has 0 bytes"),
}


@pytest.mark.parametrize("suffix", ["", ".bin", ".pt", ".safetensors", ".onnx"])
@pytest.mark.parametrize("name", KINDS)
def test_another_kind_is_named(name, suffix, capsys):
    content, *messages = KINDS[name]
    content = content() if callable(content) else content
    path = "file" + suffix
    with open(path, "wb") as file:
        file.write(content)
    with pytest.raises(ln.FormatError) as caught:
        ln.load(path, ["relu"])
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "the header has" not in text
    if name not in ("text", "empty"):
        assert all(message in text for message in messages), text
    elif not suffix:
        assert messages[0] in text
    assert main(["info", path]) == 2
    assert capsys.readouterr().err.startswith(f"laminet: error: {path}: ")


def test_directories():
    os.makedirs("model")
    with pytest.raises(ln.FormatError, match="model: a directory, not a file"):
        ln.load("model")
    with open("model/saved_model.pb", "w"):
        pass
    with pytest.raises(ln.FormatError, match="TensorFlow SavedModel: convert it with tf2onnx"):
        ln.load("model")


def test_a_missing_file_is_no_missing_package(monkeypatch, capsys):
    for package in ("torch", "onnx"):
        monkeypatch.setitem(sys.modules, package, None)
    for name in ("no.pt", "no.onnx", "no.safetensors", "no.ckpt", "no"):
        with pytest.raises(FileNotFoundError, match=f"No such file or directory: '{name}'"):
            ln.load(name)
        assert main(["info", name]) == 2
        assert capsys.readouterr().err == f"laminet: error: {name}: No such file or directory\n"


def test_a_missing_package_is_named(net, monkeypatch, capsys):
    torch.save(ln.to_torch(net).state_dict(), "a.pt")
    ln.to_onnx(net, "a.onnx")
    for package, extra in (("torch", "torch"), ("onnx", r"laminet\[onnx\]")):
        monkeypatch.setitem(sys.modules, package, None)
        name = "a.pt" if package == "torch" else "a.onnx"
        with pytest.raises(ImportError, match=f"{name}: .*pip install '?{extra}"):
            ln.load(name, None if package == "onnx" else ["tanh", "identity"])
        assert main(["info", name]) == 2
        assert f"{name}: reading it takes: pip install" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a.onnx", "A.ONNX", "a.pt", "a.pth", "a.h5", "a.keras", "a.npz"])
def test_save_does_not_write_safetensors_under_another_name(net, name):
    with pytest.raises(ValueError, match=rf"{name}: save writes safetensors, .*in \.safetensors"):
        net.save(name)
    assert os.listdir() == []


def test_save_names_the_call_that_writes_another_kind(net):
    with pytest.raises(ValueError, match=r"ln\.to_onnx\(net, path\)"):
        net.save("a.onnx")
    with pytest.raises(ValueError, match=r"torch\.save\(ln\.to_torch\(net\)\.state_dict\(\), path"):
        net.save("a.pt")
    for name in ("a", "a.safetensors", "a.v2", "a.net"):
        net.save(name)
        assert ln.load(name) == net


def test_a_full_disk_is_blamed_on_the_file(monkeypatch):
    ln.MLP.init([100, 100], seed=0).save("a.safetensors")
    for target in ("b.safetensors", "b.onnx"):
        result = run("convert", "a.safetensors", target, largest_file=10_000)
        assert result.returncode == 2
        assert result.stderr == f"laminet: error: {target}: File too large\n"
    assert sorted(os.listdir()) == ["a.safetensors"]


def test_save_names_the_file_on_a_full_disk(net, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("laminet.files.safetensors_files.networks.write_by_parts", full)
    with pytest.raises(OSError, match=r"No space left on device: 'a.safetensors'"):
        net.save("a.safetensors")


def test_what_a_state_dict_may_hold_beside_its_weights():
    """Types and shapes that no network has are no reason to refuse those beside them."""
    tensors = {
        "net.0.weight": np.ones((3, 2), "float32"),
        "net.1.running_mean": np.zeros(3, "float32"),
        "net.1.running_var": np.ones(3, "float32"),
        "net.1.num_batches_tracked": np.array(7),
        "log_std": np.zeros(3, "float64"),
    }
    safetensors.numpy.save_file(tensors, "a")
    net = ln.load("a", ["relu"])
    assert net.dtype == np.float32
    assert np.allclose(net(np.ones(2)), 2 / np.sqrt(1 + 1e-5))


def test_a_file_of_types_that_do_not_exist():
    header = json.dumps({"a": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}).encode()
    with open("a.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header + b"\0")
    with pytest.raises(ln.FormatError, match="tensor 'a': dtype is 'F4'"):
        ln.load("a.safetensors", ["relu"])


def test_outputs_replace_what_the_file_says(net):
    net.save("a")
    ln.to_onnx(net, "b")
    torch.save(ln.to_torch(net).state_dict(), "c")
    outputs = ln.Classes(["no", "yes"])
    for name, arguments in (("a", []), ("b", []), ("c", [["tanh", "identity"]])):
        assert ln.load(name, *arguments, outputs=outputs) == net.with_outputs(outputs)


def test_arguments_of_a_whole_network(net):
    net.save("a")
    ln.to_onnx(net, "b.onnx")
    for name in ("a", "b.onnx"):
        for arguments in (
            {"activations": ["relu", "relu"]},
            {"head": "softmax"},
            {"part": "actor"},
            {"normalizer": "fold"},
        ):
            with pytest.raises(ValueError, match=f"{name}: {next(iter(arguments))} is given for"):
                ln.load(name, **arguments)
