"""The types of names say what the core knows: no name less, none more, in its order."""

from __future__ import annotations

from typing import get_args

import pytest

import laminet as ln
from laminet import _core
from laminet.core.activation import ACTIVATIONS
from laminet.core.heads import HEADS
from laminet.core.name_types import ActivationName, BackendName, HeadName, InstructionSetName


def test_activations() -> None:
    assert get_args(ActivationName) == tuple(_core.activations()) == tuple(ACTIVATIONS)


def test_heads() -> None:
    assert get_args(HeadName) == HEADS
    layer = ln.Dense([[1.0, 2.0], [3.0, 4.0]])
    for head in get_args(HeadName):
        assert ln.MLP([layer], head=head).head == head
    # What the core has besides stands for no head.
    for name in ("none", *HEADS):
        _core.NetworkF32.make([(layer.weight, None, layer.activation)], name, None)
    with pytest.raises(ValueError, match="unknown head sparsemax"):
        _core.NetworkF32.make([(layer.weight, None, layer.activation)], "sparsemax", None)


def test_back_ends() -> None:
    for name in get_args(BackendName):
        with ln.backend(name):
            assert ln.get_backend() == name
    with pytest.raises(ValueError, match="backend must be") as error:
        ln.set_backend("cuda")  # type: ignore[arg-type]
    assert all(f"'{name}'" in str(error.value) for name in get_args(BackendName))
    assert str(error.value).count("'") == 2 * (1 + len(get_args(BackendName)))


def test_instruction_sets() -> None:
    assert set(_core.available_isas()) <= set(get_args(InstructionSetName))
    with pytest.raises(ValueError, match="unknown instruction set") as error:
        _core.set_isa("sse9")  # type: ignore[arg-type]
    for name in get_args(InstructionSetName):
        assert name in str(error.value)
