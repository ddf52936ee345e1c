"""A script that says what a process of its own uses, and the reading of what it says."""

from __future__ import annotations

import json

REPORT = """
import json, os, sys
import numpy as np, laminet as ln
info = ln.build_info()
net = ln.MLP.init([30, 40, 5], seed=0)
x = np.random.default_rng(0).standard_normal((20, 30)).astype("f4")
info["file"] = ln.__file__
info["error"] = float(np.abs(net(x) - ln.reference.forward(net, x)).max())
print(json.dumps(info))
"""


def report(result):
    assert result.returncode == 0, result.stderr
    info = json.loads(result.stdout)
    assert 0 < info["error"] < 1e-5
    return info
