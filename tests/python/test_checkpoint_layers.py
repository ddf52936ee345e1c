"""State dicts of PyTorch: batch normalisations are folded, other layers named and refused."""

from __future__ import annotations

import pytest
import torch
from checkpoints import expected, load, named
from frameworks import assert_agrees
from torch import nn

import laminet as ln

RELU = nn.ReLU()


@pytest.fixture(autouse=True)
def _in_temporary_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)


def trained(norm):
    """A batch normalisation that has seen something."""
    with torch.no_grad():
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        if norm.affine:
            norm.weight.normal_()
            norm.bias.normal_()
    return norm


def norm(width, affine=True):
    return trained(nn.BatchNorm1d(width, affine=affine))


SEQUENCES = {
    "before": [nn.Linear(3, 5), norm(5), RELU, nn.Linear(5, 2)],
    "without scales": [nn.Linear(3, 5), norm(5, False), RELU, nn.Linear(5, 2)],
    "after": [nn.Linear(3, 5), RELU, norm(5), nn.Linear(5, 2)],
    "on the input": [norm(3), nn.Linear(3, 5), RELU, nn.Linear(5, 2)],
    "at the end": [nn.Linear(3, 5), RELU, nn.Linear(5, 2), norm(2)],
    "two of them": [nn.Linear(3, 5), norm(5), norm(5), RELU, nn.Linear(5, 2), norm(2)],
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_batch_norm_in_a_sequence(name):
    module = nn.Sequential(*SEQUENCES[name]).double().eval()
    x, y = expected(module.float(), 3)
    module.double()
    with torch.no_grad():
        y = module(torch.from_numpy(x).double()).numpy()
    assert_agrees(load(module.state_dict(), ["relu", "identity"]), x, y, folded=True)
    nested = {"state_dict": {f"model.net.{k}": v for k, v in module.state_dict().items()}}
    assert_agrees(load(nested, ["relu", "identity"]), x, y, folded=True)


@pytest.mark.parametrize("names", [("fc1", "bn1", "fc2"), ("l.0.fc", "l.0.bn", "l.1.fc")])
def test_batch_norm_under_a_name_of_its_own(names):
    first, middle, last = nn.Linear(3, 5).double(), norm(5).double(), nn.Linear(5, 2).double()
    contents = {}
    for name, module in zip(names, (first, middle, last), strict=True):
        contents |= {f"{name}.{k}": v for k, v in module.state_dict().items()}
    x = torch.randn(20, 3).double()
    middle.eval()
    with torch.no_grad():
        before = last(RELU(middle(first(x)))).numpy()
        after = last(middle(RELU(first(x)))).numpy()
        linear = last(middle(first(x))).numpy()
    with pytest.raises(ln.FormatError, match='batch_norm="before" or batch_norm="after" says it'):
        load(contents, ["relu", "identity"])
    # Beside the identity both sides are the same.
    assert_agrees(load(contents, ["identity", "identity"]), x.numpy(), linear, folded=True)
    for side, y in (("before", before), ("after", after)):
        net = ln.load("file", ["relu", "identity"], batch_norm=side)
        assert_agrees(net, x.numpy(), y, folded=True)
    with pytest.raises(ValueError, match="batch_norm must be"):
        ln.load("file", ["relu", "identity"], batch_norm="beside")


LINEAR = nn.Linear(4, 4)
REFUSED = {
    "between gaps": (
        nn.Sequential(LINEAR, RELU, norm(4), RELU, LINEAR).state_dict(),
        "the numbers do not tell whether the batch normalisation '2' comes before or after",
    ),
    "after the last, with a gap": (
        nn.Sequential(LINEAR, LINEAR, RELU, norm(4)).state_dict(),
        "batch normalisation '3' comes before or after the activation",
    ),
    "before a gap": (
        nn.Sequential(norm(4), RELU, LINEAR, LINEAR).state_dict(),
        "a function between the batch normalisation '0' and the first layer",
    ),
    "whose is it": (
        named(a1=LINEAR, a2=LINEAR, norm=norm(4)),
        "the name of the batch normalisation 'norm' does not tell which layer it follows",
    ),
    "layer norm": (
        nn.Sequential(LINEAR, nn.LayerNorm(4), LINEAR).state_dict(),
        "'1.weight' has shape (4,), not (outputs, inputs): the scale of a LayerNorm",
    ),
    "prelu": (nn.Sequential(LINEAR, nn.PReLU(), LINEAR).state_dict(), "the slope of a PReLU"),
    "convolution": (named(c=nn.Conv1d(2, 2, 3), a=LINEAR, b=LINEAR), "'c.weight' has 3 axes"),
    "recurrent": (named(c=nn.LSTM(2, 2), a=LINEAR, b=LINEAR), "a recurrent layer (LSTM, GRU)"),
    "weight norm": (
        nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))).state_dict(),
        "the module is parametrised",
    ),
    "a buffer": (
        {**nn.Sequential(LINEAR, LINEAR).state_dict(), "action_scale": torch.ones(4)},
        "'action_scale' is neither a weight nor a bias of a layer: a step after the layers",
    ),
    "float8": (
        {"0.weight": torch.ones(4, 4).to(torch.float8_e4m3fn), "1.weight": torch.ones(4, 4)},
        "tensor '0.weight' holds float8_e4m3fn",
    ),
    "integers": (
        {"0.weight": torch.ones(4, 4, dtype=torch.int8), "1.weight": torch.ones(4, 4)},
        "tensor '0.weight' holds int8",
    ),
    "complex": (
        {"0.weight": torch.ones(4, 4, dtype=torch.complex64), "1.weight": torch.ones(4, 4)},
        "tensor '0.weight' holds complex64",
    ),
    "more than is stored": (
        {"0.weight": torch.ones(1, 1, dtype=torch.float16).expand(10**6, 10**6)}
        | {"1.weight": torch.ones(1, 10**6)},
        "tensor '0.weight' claims more numbers than the file holds",
    ),
    "nothing": ({"epoch": 3}, "there is no weight"),
    "a whole module in a mapping": ({"model": LINEAR}, "'model' is an object of the class 'torch"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    contents, message = REFUSED[name]
    with pytest.raises(ln.FormatError) as caught:
        load(contents, ["relu", "relu"])
    assert message in str(caught.value)
    assert str(caught.value).startswith("file: ")
