"""Arrays that other threads resize during a call, which would free the memory that it works on."""

from __future__ import annotations

DURING = """
import sys, threading
import numpy as np
import laminet as ln

# No thread runs Python beside another one unless that gives the GIL away itself, as calls do.
sys.setswitchinterval(3600)
net = ln.MLP.init([300, 400, 300], "relu", seed=0)
weight, bias = (part.copy() for part in (net.layers[0].weight, net.layers[0].bias))
# So large that memory which is freed is gone.
x, v, out = (np.full((4000, 300), 0.5, np.float32) for _ in range(3))
layer_out = np.empty((4000, 400), np.float32)
jacobian_out = np.empty((16, 300, 300), np.float32)
few = x[:16].copy()
calls = {
    "forward": (lambda: net(x, out=out), [x, out]),
    "head": (lambda: net.predict_log_proba(x), [x]),
    "view": (lambda: net(x[::2].T.T), [x]),
    "trace": (lambda: net.trace(x), [x]),
    "linear": (lambda: ln.linear(x, weight, bias, out=layer_out), [x, weight, bias, layer_out]),
    "vjp": (lambda: net.vjp(x, v, out=out), [x, v, out]),
    "jvp": (lambda: net.jvp(x, v, out=out), [x, v, out]),
    "jacobian": (lambda: net.jacobian(few, out=jacobian_out), [few, jacobian_out]),
    "value_and_jacobian": (
        lambda: net.value_and_jacobian(few, out=(out[:16], jacobian_out)), [few, out, jacobian_out]
    ),
    "layer_jacobians": (lambda: net.layer_jacobians(few), [few]),
    "gradients": (lambda: net.gradients(x, v), [x, v]),
}


def outcome(call, array):
    seen = []
    gate = threading.Lock()

    def resize():
        with gate:
            try:
                array.resize((1, 1), refcheck=False)
                seen.append("resized")
            except ValueError:
                seen.append("refused")

    gate.acquire()
    thread = threading.Thread(target=resize)
    thread.start()
    gate.release()
    for _ in range(200):  # the system may wake the thread late
        call()
        if seen:
            break
    else:
        seen.append("no call gave the GIL away")
    thread.join()
    return seen[0]


for name, (call, arrays) in calls.items():
    for index, array in enumerate(arrays):
        print(name, index, outcome(call, array), flush=True)
# And afterwards they may.
x.resize((1, 1), refcheck=False)
"""


def test_arrays_in_use_by_a_call_cannot_be_resized(script) -> None:
    result = script(DURING)
    lines = result.stdout.splitlines()
    assert [line for line in lines if not line.endswith(" refused")] == [], result.stderr
    assert result.returncode == 0, result.stdout + result.stderr
    assert len(lines) == 23


CONVERTING = """
import numpy as np
import laminet as ln

net = ln.MLP.init([300, 300], "relu", seed=0)
x = np.full((4000, 300), 0.5, np.float32)


class Hostile:
    def __array__(self, dtype=None, copy=None):
        try:
            x.resize((1, 1), refcheck=False)
            print("resized", flush=True)
        except ValueError:
            print("refused", flush=True)
        return np.full((4000, 300), 0.5, np.float32)


net.vjp(x, Hostile())
net.jvp(x, Hostile())
net.gradients(x, Hostile())
"""


def test_nor_while_another_operand_is_converted(script) -> None:
    result = script(CONVERTING)
    assert result.stdout.split() == ["refused"] * 3, result.stderr
