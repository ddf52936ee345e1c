"""What is no model of a framework is refused without it: it need not be there."""

from __future__ import annotations

import re
import sys
from typing import Any

import numpy as np
import pytest

import laminet as ln

NET = ln.MLP.init([3, 4, 2], seed=0)


@pytest.mark.parametrize(
    "value", [3, None, NET, np.ones(3), ln.MLP], ids=lambda v: type(v).__name__
)
@pytest.mark.parametrize(
    ("package", "read", "message"),
    [
        ("torch", ln.from_torch, "module must be a torch.nn.Module, got "),
        ("keras", ln.from_keras, "model must be a Keras model or the name of a .keras or .h5 file"),
        ("sklearn", ln.from_sklearn, "estimator must be an MLPClassifier, an MLPRegressor, or a "),
    ],
)
def test_what_is_of_no_framework(
    package: str, read: Any, message: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(TypeError, match=f"^{re.escape(message)}"):
        read(value)
