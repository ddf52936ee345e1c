"""``laminet convert`` and ``info`` for files of every kind."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import safetensors.numpy
import torch
from command import refused
from torch import nn
from variants import random_net

import laminet as ln
from laminet.cli import main


@pytest.fixture(autouse=True)
def _in_temporary_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def net():
    return ln.MLP(random_net([3, 5, 2], ["relu", ln.Activation("leaky_relu", alpha=0.2)]).layers)


NAMES = "relu,leaky_relu(alpha=0.2)"


def convert(*arguments):
    assert main(["convert", *arguments]) == 0


def test_there_and_back(net, capsys):
    headed = ln.MLP(net.layers[:1], head="softmax")
    headed.save("a.safetensors")
    convert("a.safetensors", "b.onnx")
    onnx.checker.check_model("b.onnx")
    convert("b.onnx", "c.safetensors")
    assert ln.load("c.safetensors") == headed == ln.from_onnx("b.onnx")
    assert capsys.readouterr().out.splitlines()[0] == f"b.onnx: {headed!r}"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_more_than_chains(dtype, capsys):
    rows = ["a", "b", "c"]
    layers = [
        ln.Rescale(np.ones(3, dtype), 0.1, high=0.5),
        ln.Residual([ln.LayerNorm(np.ones(3, dtype)), *random_net([3, 5, 3], dtype=dtype).layers]),
        ln.Parallel([[], [ln.Select([2, 0])]]),
        ln.Activation("leaky_relu", alpha=[0.1, 0.2, 0.3, 0.4, 0.5]),
        ln.Dropout(0.5),
    ]
    labels = ln.Labels(["v", "w", "x", "y", "z"])
    net = ln.MLP([*layers, ln.Activation("sigmoid")], outputs=labels, feature_names=rows)
    net.save("a.safetensors")
    convert("a.safetensors", "b.onnx")
    onnx.checker.check_model("b.onnx", full_check=True)
    convert("b.onnx", "c.safetensors")
    assert ln.load("c.safetensors") == net
    assert capsys.readouterr().out.splitlines()[0] == f"b.onnx: {net!r}"
    other = "float64" if dtype == "float32" else "float32"
    convert("a.safetensors", "d.safetensors", "--dtype", other)
    assert ln.load("d.safetensors") == net.astype(other)

    x = np.random.default_rng(0).standard_normal((9, 3)).astype(dtype)
    np.save("x.npy", x)
    np.savetxt("x.csv", x, delimiter=",", header="a,b,c", comments="")
    for source in ("a.safetensors", "b.onnx"):
        assert main(["predict", source, "x.npy", "-o", "y.npy"]) == 0
        assert np.array_equal(np.load("y.npy"), net(x))
        assert main(["predict", source, "x.csv", "-o", "z.npy", "--classes"]) == 0
        assert np.array_equal(np.load("z.npy"), net.predict(x))


def test_state_dicts(net):
    module = ln.to_torch(net)
    torch.save(module.state_dict(), "net.pt")
    torch.save({"epoch": 3, "state_dict": module.state_dict()}, "checkpoint.pth")
    arrays = {k: v.detach().numpy() for k, v in module.state_dict().items()}
    safetensors.numpy.save_file(arrays, "elsewhere.safetensors")
    for source in ("net.pt", "checkpoint.pth", "elsewhere.safetensors"):
        convert(source, "out.safetensors", "--activations", NAMES)
        assert ln.load("out.safetensors") == net
    convert("net.pt", "out.safetensors", "--activations", NAMES, "--head", "softmax")
    assert ln.load("out.safetensors").head == "softmax"


def test_labels_and_types(net):
    net.with_outputs(ln.Classes(["a", "b"])).save("a.safetensors")
    convert("a.safetensors", "b.safetensors", "--dtype", "float64")
    again = ln.load("b.safetensors")
    assert again.outputs == ln.Classes(["a", "b"])
    assert again.dtype == np.float64


@pytest.mark.parametrize("precision", ["bfloat16_weights", "bfloat16"])
def test_precisions(net, capsys, precision):
    net.save("a.safetensors")
    convert("a.safetensors", "b.safetensors", "--precision", precision)
    assert ln.load("b.safetensors") == net.with_precision(precision)
    assert capsys.readouterr().out == f"b.safetensors: {net.with_precision(precision)!r}\n"
    convert("a.safetensors", "b.onnx", "--precision", precision)
    assert ln.from_onnx("b.onnx") == net.with_precision(precision)
    net.astype("float64").save("c.safetensors")
    convert("c.safetensors", "d.safetensors", "--precision", precision, "--dtype", "float32")
    assert ln.load("d.safetensors") == net.with_precision(precision)
    capsys.readouterr()

    def refusal(source):
        return refused(capsys, "convert", source, "e.safetensors", "--precision", precision)

    message = f"--precision {precision} is of networks of float32, and this one is of float64: with"
    assert message in refusal("c.safetensors")
    ln.MLP([ln.Dense(np.float32([[3.4e38]]))]).save("f.safetensors")
    message = (
        f"--precision {precision}: layers[0]: a weight of 3.4e+38 is beyond the range of bfloat16"
    )
    assert message in refusal("f.safetensors")


@pytest.mark.parametrize("precision", ["float32", "bfloat16_weights", "bfloat16"])
def test_bench_says_in_which_precision(net, capsys, precision):
    net.with_precision(precision).save("a.safetensors")
    assert main(["bench", "a.safetensors", "--batches", "2"]) == 0
    assert capsys.readouterr().out.startswith(f"3-5-2 in {precision} on ")


def test_info_and_predict_of_every_kind(net, capsys):
    net.save("net.safetensors")
    convert("net.safetensors", "net.onnx")
    torch.save(ln.to_torch(net).state_dict(), "net.pt")
    np.save("x.npy", np.ones((4, 3), "float32"))
    capsys.readouterr()
    for source, more in (("net.safetensors", []), ("net.onnx", []), ("net.pt", [NAMES])):
        options = [f"--activations={name}" for name in more]
        assert main(["info", source, *options]) == 0
        assert "network 3-5-2, float32, 32 parameters" in capsys.readouterr().out
        assert main(["predict", source, "x.npy", "-o", "y.npy", *options]) == 0
        assert np.array_equal(np.load("y.npy"), net(np.ones((4, 3))))


class Own(nn.Linear):
    """What a pickle names and PyTorch's loader of weights does not load."""


def test_refused(net, capsys):
    net.save("net.safetensors")
    torch.save(Own(3, 2), "module.pt")
    torch.save([1, 2], "list.pt")
    torch.save(ln.to_torch(net).state_dict(), "net.pt")
    torch.save(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)).state_dict(), "norm.pt")
    with open("text.onnx", "w") as file:
        file.write("text")
    with open("text.pt", "w") as file:
        file.write("text")
    cases = [
        (("net.safetensors", "net.pt"), "DST net.pt: the name must end in .safetensors or .onnx"),
        (("net.safetensors", "net.safetensors"), "DST net.safetensors is SRC"),
        (("none.onnx", "a.onnx"), "none.onnx: No such file or directory"),
        (("text.onnx", "a.onnx"), "text.onnx: not an ONNX model"),
        (("text.pt", "a.onnx"), "text.pt: PyTorch's loader of weights refuses it"),
        (("module.pt", "a.onnx"), "module.pt: PyTorch's loader of weights refuses it"),
        (("list.pt", "a.onnx"), "list.pt: holds no state dict"),
        (("net.pt", "a.onnx"), "net.pt: a state dict has no activations: name one for each layer"),
        (("norm.pt", "a.onnx", "--activations", "relu"), "the scale of a LayerNorm"),
        (("net.pt", "a.onnx", "--activations", "relu"), "activations names 1 functions, one for"),
        (("net.safetensors", "a.onnx", "--activations", "relu"), "laminet saved with its own"),
        ((".", "a.onnx"), ".: a directory"),
    ]
    for arguments, message in cases:
        assert message in refused(capsys, "convert", *arguments)


@pytest.mark.parametrize("text", ["rely", "relu(", "relu(alpha=1)", "elu(alpha=x)", "elu(1)", ""])
def test_activations_that_are_none(text, capsys):
    with pytest.raises(SystemExit):
        main(["convert", "a.pt", "b.onnx", "--activations", text])
    assert "argument --activations" in capsys.readouterr().err
