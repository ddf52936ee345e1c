"""Names that are none: what somebody may have meant is suggested, and never taken."""

from __future__ import annotations

import pytest

import laminet as ln
from laminet.core.activation import ACTIVATIONS


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ReLU", "relu"),
        ("RELU", "relu"),
        ("rely", "relu"),
        ("ReLU6", "relu6"),
        ("relu_6", "relu6"),
        ("leakyrelu", "leaky_relu"),
        ("LeakyReLU", "leaky_relu"),
        ("leaky-relu", "leaky_relu"),
        ("lrelu", "leaky_relu"),
        ("swish", "silu"),
        ("SiLU", "silu"),
        ("linear", "identity"),
        ("none", "identity"),
        ("Identity", "identity"),
        ("logistic", "sigmoid"),
        ("sigmoidal", "sigmoid"),
        ("hardswish", "hard_swish"),
        ("hard_silu", "hard_swish"),
        ("HardSigmoid", "hard_sigmoid"),
        ("gelu_new", "gelu_tanh"),
        ("gelu_pytorch_tanh", "gelu_tanh"),
        ("GELU", "gelu"),
        ("Tanh", "tanh"),
        ("tahn", "tanh"),
        (" relu", "relu"),
        ("soft plus", "softplus"),
    ],
)
def test_an_activation_by_another_name(name: str, meant: str) -> None:
    expected = f"unknown activation {name!r}, did you mean {meant!r}? Expected one of identity, "
    for make in (ln.Activation, lambda n: ln.Dense([[1.0]], activation=n)):
        with pytest.raises(ValueError, match="unknown activation") as caught:
            make(name)
        assert str(caught.value).startswith(expected)


@pytest.mark.parametrize(
    "name", ["Hardtanh", "PReLU", "CELU", "quick_gelu", "LogSigmoid", "x", "", "Softmin"]
)
def test_another_function_is_not_suggested(name: str) -> None:
    """Functions that laminet has not, and whose names are like those of some that it has."""
    with pytest.raises(ValueError, match=f"unknown activation '{name}', expected one of identity"):
        ln.Activation(name)


@pytest.mark.parametrize(("name", "head"), [("softmax", "softmax"), ("LogSoftmax", "log_softmax")])
def test_a_head_is_told_as_one(name: str, head: str) -> None:
    with pytest.raises(ValueError, match=f"activation '{name}', which is a head: head='{head}'"):
        ln.Activation(name)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("Softmax", "softmax"), ("log-softmax", "log_softmax"), ("logsoftmax", "log_softmax")],
)
def test_a_head_by_another_name(name: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"unknown head '{name}', did you mean '{meant}'. Exp"):
        ln.MLP([ln.Dense([[1.0]])], head=name)


@pytest.mark.parametrize("name", ["sigmoid", "none", "max", "argmax", "softmin"])
def test_another_head_is_not_suggested(name: str) -> None:
    with pytest.raises(ValueError, match=f"unknown head '{name}', expected None or one of"):
        ln.MLP([ln.Dense([[1.0]])], head=name)


def test_what_there_is_needs_no_suggestion() -> None:
    for name in ACTIVATIONS:
        assert ln.Activation(name).name == name
