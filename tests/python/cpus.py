"""Processes of their own in which the CPUs change, for the tests of how many threads there are."""

from __future__ import annotations

import pytest

from laminet import _core

CPUS = _core.allowed_cpus()

several_cpus = pytest.mark.skipif(CPUS < 2, reason="this process may use one CPU only")

# In front of scripts. `threads_used` is what the next call of a large network may share its work
# among. To ask that looks at the CPUs, so what the calls notice by themselves is asked of `others`.
COMMON = """
import os, time
import numpy as np, laminet as ln
from laminet import _core
net = ln.MLP.init([300, 400, 50], seed=0)
x = np.ones((2000, 300), "f4")
cpus = sorted(os.sched_getaffinity(0))
def calls():
    end = time.monotonic() + 0.25  # CPUs are asked for anew within 0.1 s
    while time.monotonic() < end: net(x)
def threads_used(): return net.plan(2000).threads
def others():  # how often each other thread has gone to sleep or was interrupted
    result = {}
    for task in set(os.listdir("/proc/self/task")) - {str(os.getpid())}:
        with open(f"/proc/self/task/{task}/status") as status:
            result[task] = sum(int(l.split()[1]) for l in status if "ctxt_switches" in l)
    return result
"""
REPORT = "\ninfo = ln.build_info(); print(info['threads'], info['threads_source'])\n"


def run(script, code, **environment):
    result = script(COMMON + code, **environment)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()
