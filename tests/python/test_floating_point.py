"""`numpy.errstate` and warnings of the caller are about his arithmetic, not about laminet's."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest

import laminet as ln
from laminet.analysis import error_bound

R = ln.reference

# What float32 cannot hold, on either side, and what is no number.
X = np.array([[1e-300, 1e300, -np.inf, 3.0], [1e-40, -1e-310, 1e38, 0.0]])
TINY = np.full((2, 4), 1e-300)
NET = ln.MLP.init([4, 5, 3], "gelu", seed=0)
LARGE = ln.MLP(
    [
        ln.Dense(np.array([[1e-300, 1e300, 1.0, 2.0]] * 3)),
        ln.Dense(np.array([[1e-200, 1e-200, 1e200]] * 2), [1e-310, 1.0], "tanh"),
    ],
    head="softmax",
)
SMALL = ln.MLP(
    [
        ln.Dense(np.full((3, 4), 1e-38, np.float32), None, "tanh"),
        ln.Dense(np.full((3, 3), 1e-38, np.float32), None, "elu"),
    ],
    head="log_softmax",
)
PLAIN = ln.MLP([ln.Dense(np.full((3, 4), 1e-200)), ln.Dense(np.full((2, 3), 1e-200))])

HUGE = ln.MLP([ln.Dense([[1e200]]), ln.Dense([[1e200]])])

CALLS = {
    "call": lambda: NET(X),
    "a list": lambda: NET([1e-300, 1e300, 0, 1]),
    "long doubles": lambda: LARGE(np.array(["1e-4000", "1e4000", "0", "1"]).astype("g")),
    "large integers": lambda: NET([2**60] * 4),
    "predict": lambda: NET.predict(X[1:]),
    "predict_proba": lambda: NET.predict_proba(X),
    "predict_log_proba": lambda: NET.predict_log_proba(X),
    "trace": lambda: NET.trace(X).output,
    "jacobian": lambda: NET.jacobian(X),
    "value_and_jacobian": lambda: NET.value_and_jacobian(X),
    "layer_jacobians": lambda: NET.layer_jacobians(X),
    "vjp": lambda: NET.vjp(X, np.full((2, 3), 1e-300)),
    "jvp": lambda: NET.jvp(X, X),
    "gradients": lambda: NET.gradients(X, np.full((2, 3), 1e-300)).weights,
    "gradients, shown": lambda: repr(NET.gradients(X, np.full((2, 3), 1e300))),
    "gradients of float64, shown": lambda: repr(HUGE.gradients([1.0], [1.0])),
    "astype": lambda: ln.MLP([ln.Dense([[1e-300, 1.0]])]).astype("float32").layers[0].weight,
    "linear": lambda: ln.linear(X, np.ones((2, 4), np.float32)),
    "linear of float64": lambda: ln.linear(X, np.full((2, 4), 1e-300), [1e-310, 1.0]),
    "check_gradients": lambda: str(ln.check_gradients(SMALL, TINY, [0, 1], entries=2)),
    "check_jacobian": lambda: str(ln.check_jacobian(NET, X)),
    "check_jacobian of infinity": lambda: str(ln.check_jacobian(HUGE, [0.0])),
    "check_jacobian of small weights": lambda: str(ln.check_jacobian(SMALL, TINY)),
    "gradient_flow": lambda: str(ln.gradient_flow(SMALL, TINY)),
    "gradient_flow of float64": lambda: str(ln.gradient_flow(PLAIN, TINY)),
    "error_bound": lambda: error_bound(PLAIN, X),
    "cost": lambda: str(ln.cost(LARGE, 3)),
    "init": lambda: ln.MLP.init([4, 3], seed=1).layers[0].weight,
    "summary": lambda: str(LARGE.summary()),
    "pickle": lambda: pickle.loads(pickle.dumps(LARGE)).layers[0].weight,
}
for _name in ("forward", "forward_components", "jacobian", "layer_jacobians", "numerical_jacobian"):
    for _net in (SMALL, LARGE):
        CALLS[f"reference.{_name} of {_net.dtype}"] = lambda f=_name, n=_net: getattr(R, f)(n, X)
for _name in ("softmax", "log_softmax"):
    CALLS[f"reference.{_name}"] = lambda f=_name: getattr(R, f)(X)
for _name in ("gelu", "selu", "sigmoid", "softplus"):
    CALLS[f"reference.activation {_name}"] = lambda f=_name: R.activation(f, X)
    CALLS[f"reference.activation_derivative {_name}"] = lambda f=_name: R.activation_derivative(
        f, X
    )


def arrays(result) -> list:
    if isinstance(result, (list, tuple)):
        return [array for item in result for array in arrays(item)]
    return [np.asarray(result)]


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_results_are_the_same_whatever_errstate_says(call):
    with np.errstate(all="ignore"):
        expected = arrays(call())
    for state in ("raise", "warn"):
        with np.errstate(all=state), warnings.catch_warnings():
            warnings.simplefilter("error")
            got = arrays(call())
            assert np.geterr() == dict.fromkeys(("divide", "over", "under", "invalid"), state)
        for ours, theirs in zip(got, expected, strict=True):
            assert ours.tobytes() == theirs.tobytes()


def test_what_is_too_small_becomes_zero():
    net = ln.MLP([ln.Dense(np.float32([[1]]))])
    with np.errstate(all="raise"):
        assert net([1e-300]).tolist() == [0]
        assert net(np.array([[-1e-300], [2.0]])).tolist() == [[0], [2]]
