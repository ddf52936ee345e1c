"""How many threads: variables, the CPUs of the moment, and limits that other libraries set.

What follows the CPUs is looked at in processes of its own, as settings hold for the process.
"""

from __future__ import annotations

import shutil

import pytest

import laminet as ln
from laminet import _core

CPUS = _core.allowed_cpus()

several_cpus = pytest.mark.skipif(CPUS < 2, reason="this process may use one CPU only")

# In front of scripts. `threads_used` is what the next call of a large network may share its work
# among; unlike get_num_threads, to ask that does not look at the CPUs where there were several.
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


# --- Variables -----------------------------------------------------------------------------------


def answers(script, variable, values):
    """What each value makes of the number and its source: children of one process read anew."""
    code = f"""
for value in {values!r}:
    if os.fork() == 0:
        os.environ[{variable!r}] = value
        info = ln.build_info()
        print(info["threads"], info["threads_source"], flush=True)
        os._exit(0)
    os.wait()
"""
    return run(script, code)


def test_our_variable(script):
    values = ["1", "3", "17", "0002", "1024", "1025", "99999999999999999999"]
    assert answers(script, "LAMINET_NUM_THREADS", values) == [
        f"{n} LAMINET_NUM_THREADS" for n in (1, 3, 17, 2, 1024, 1024, 1024)
    ]


def test_openmps_variable(script):
    values = ["1", "1,4", "1,4,3", " 1 ", "\t1 , 2\n", "+1", "01", "1,99999999999999999999"]
    expected = ["1 OMP_NUM_THREADS"] * len(values)
    assert answers(script, "OMP_NUM_THREADS", values) == expected
    assert run(script, REPORT, OMP_NUM_THREADS="1,4") == expected[:1]


def test_openmps_variable_with_no_meaning_is_as_if_unset(script):
    """It is another program's: OpenMP takes no notice either."""
    values = ["", " ", "0", "-1", "two", "1.5", "1 2", "1;2", "1,", ",1", "1,,2", "1,0", "1,x"]
    values += ["0x1", "++1", "+", "1e0"]
    expected = run(script, REPORT) * len(values)
    assert answers(script, "OMP_NUM_THREADS", values) == expected


def test_openmps_variable_asks_for_no_more_than_the_cpus(script):
    values = ["9999", "1025,1", "99999999999999999999"]
    assert answers(script, "OMP_NUM_THREADS", values) == run(script, REPORT) * len(values)


@several_cpus
def test_openmps_variable_bounds_what_follows_the_cpus(script):
    code = """
os.sched_setaffinity(0, cpus[:1]); print(ln.get_num_threads())
os.sched_setaffinity(0, cpus); print(ln.get_num_threads())
"""
    assert run(script, code, OMP_NUM_THREADS="2") == ["1", "2"]


def test_which_variable_counts(script):
    both = {"LAMINET_NUM_THREADS": "3", "OMP_NUM_THREADS": "1"}
    assert run(script, REPORT, **both) == ["3 LAMINET_NUM_THREADS"]
    both["LAMINET_NUM_THREADS"] = ""
    assert run(script, REPORT, **both) == ["1 OMP_NUM_THREADS"]
    assert run(script, "ln.set_num_threads(5)" + REPORT, **both) == ["5 set_num_threads"]


def test_variables_are_read_when_first_needed_and_by_a_child_anew(script):
    """A worker's initialiser may set them after the import."""
    code = """
import os, laminet as ln
os.environ["OMP_NUM_THREADS"] = "1"
print(ln.get_num_threads(), flush=True)
os.environ["LAMINET_NUM_THREADS"] = "7"
print(ln.get_num_threads(), flush=True)
if os.fork() == 0:
    print(ln.get_num_threads(), flush=True)
    os._exit(0)
os.wait()
"""
    result = script(code + REPORT)
    assert result.stdout.splitlines() == ["1", "1", "7", "1 OMP_NUM_THREADS"], result.stderr


@pytest.mark.parametrize("threads", [None, 3])
def test_workers_of_joblib(threads, script):
    """loky sets OMP_NUM_THREADS, among others, to their share of the CPUs or what is asked for."""
    pytest.importorskip("joblib")
    code = f"""
import joblib
def ask(_):
    import laminet
    info = laminet.build_info()
    return info["threads"], info["threads_source"], os.environ["OMP_NUM_THREADS"]
with joblib.parallel_config("loky", inner_max_num_threads={threads}):
    for found in set(joblib.Parallel(2)(joblib.delayed(ask)(i) for i in range(4))): print(*found)
"""
    for line in run(script, code):
        count, *source, variable = line.split()
        assert int(count) == min(CPUS, int(variable))
        if int(variable) <= CPUS:
            assert source == ["OMP_NUM_THREADS"]


# --- The CPUs of the moment ----------------------------------------------------------------------


def test_by_default(script):
    assert run(script, REPORT)[0].split(maxsplit=1)[0] == str(min(CPUS, 1024))
    code = "os.sched_setaffinity(0, cpus[:1])" + REPORT
    assert run(script, code)[0].split(maxsplit=1)[0] == "1"


@several_cpus
def test_fewer_cpus_after_the_import(script):
    """Which the calls themselves notice: nobody asks for the number meanwhile."""
    code = """
calls()
print(threads_used())
os.sched_setaffinity(0, cpus[:1])
calls()
print(threads_used())
time.sleep(0.01)
before = others()
for _ in range(20): net(x)
time.sleep(0.01)
print(others() == before)
"""
    lines = run(script, code, OPENBLAS_NUM_THREADS="1")
    assert lines == [str(min(CPUS, int(lines[0]))), "1", "True"]
    assert int(lines[0]) > 1


@several_cpus
@pytest.mark.parametrize("how", ["ln.set_num_threads(2)", "", "_core.set_thread_setting((0, 2))"])
def test_no_more_work_than_there_are_cpus_whatever_is_asked_for(how, script):
    code = f"""
{how}
calls()
os.sched_setaffinity(0, cpus[:1])
calls()
time.sleep(0.01)
before = others()
for _ in range(20): net(x)
time.sleep(0.01)
print(others() == before)
"""
    assert run(script, code, OPENBLAS_NUM_THREADS="1") == ["True"]


@several_cpus
@pytest.mark.parametrize("call", ["net(x)", "net.vjp(x, np.ones((2000, 50), 'f4'))"])
def test_more_cpus_after_the_import(call, script):
    code = f"""
def calls():
    end = time.monotonic() + 0.25
    while time.monotonic() < end: {call}
os.sched_setaffinity(0, cpus[:1])
ln.get_num_threads()  # looks at once
calls()
print(threads_used())
before = len(others())
os.sched_setaffinity(0, cpus)
calls()
print(len(others()) > before, ln.get_num_threads() == min(len(cpus), _core.allowed_cpus()))
"""
    assert run(script, code) == ["1", "True True"]


@several_cpus
def test_each_thread_has_its_own_cpus(script):
    code = """
import threading
calls()
found = []
def pinned():
    os.sched_setaffinity(0, cpus[:1])
    found.append((ln.get_num_threads(), threads_used()))
thread = threading.Thread(target=pinned)
thread.start(); thread.join()
print(found[0], ln.get_num_threads() > 1, threads_used() > 1)
"""
    assert run(script, code) == ["(1, 1) True True"]


@several_cpus
def test_the_child_of_a_fork_has_its_own_cpus(script):
    """At once, as no call of the child has looked before."""
    code = """
calls()
if os.fork() == 0:
    os.sched_setaffinity(0, cpus[:1])
    print(threads_used(), ln.get_num_threads(), flush=True)
    os._exit(0)
os.wait()
print(threads_used() > 1)
"""
    assert run(script, code) == ["1 1", "True"]


@several_cpus
def test_a_setting_of_a_while_leaves_what_follows_the_cpus(script):
    code = """
with ln.num_threads(3): print(ln.get_num_threads())
os.sched_setaffinity(0, cpus[:1])
print(ln.get_num_threads(), ln.build_info()["threads_source"])
"""
    assert run(script, code) == ["3", "1 CPUs allowed"]


# --- threadpoolctl -------------------------------------------------------------------------------

LIMITS = """
from threadpoolctl import threadpool_info, threadpool_limits
def ours(): return [i for i in threadpool_info() if i["user_api"] == "laminet"]
def show(): print(ln.get_num_threads(), ln.build_info()["threads_source"], threads_used())
"""


def limited(script, code, first="", **environment):
    lines = script(first + COMMON + LIMITS + code, **environment)
    assert lines.returncode == 0, lines.stderr
    return lines.stdout.splitlines()


@pytest.mark.parametrize(
    "first", ["", "import threadpoolctl\n", "import threadpoolctl as t; t.threadpool_info()\n"]
)
def test_threadpoolctl_knows_laminet(first, script):
    """In either order of imports, without laminet importing it."""
    code = """
import threadpoolctl, sys
(info,) = ours()
print(info["num_threads"], info["version"], info["internal_api"])
print(info["filepath"] == os.path.realpath(_core.__file__))
with threadpool_limits(1): print(ln.get_num_threads(), ours()[0]["num_threads"], threads_used())
with threadpool_limits({"laminet": 5}): print(ln.get_num_threads())
with threadpool_limits(7, user_api="laminet"): print(ln.get_num_threads())
print([f for f in sys.meta_path if "laminet" in type(f).__module__])
print(type(threadpoolctl.__loader__).__name__, threadpoolctl.__spec__.loader is
      threadpoolctl.__loader__)
"""
    count = str(min(CPUS, 1024))
    assert limited(script, code, first) == [
        f"{count} {ln.__version__} laminet", "True", "1 1 1", "5", "7", "[]",
        "SourceFileLoader True",
    ]  # fmt: skip


def test_laminet_does_not_import_threadpoolctl(script):
    code = "import sys; print('threadpoolctl' in sys.modules)"
    assert run(script, code) == ["False"]


def test_where_threadpoolctl_is_looked_for_or_missing(script):
    """Who asks whether it is installed gets the usual answer, and registers nothing."""
    code = """
import importlib.util, sys
spec = importlib.util.find_spec("threadpoolctl")
print(spec.origin.endswith("threadpoolctl.py"), "threadpoolctl" in sys.modules)
print("threadpool_limits" in spec.loader.get_source("threadpoolctl"))
path, sys.path = sys.path, []
try: import threadpoolctl
except ModuleNotFoundError as error: print(error.name)
sys.path = path
import threadpoolctl
print(len([i for i in threadpoolctl.threadpool_info() if i["user_api"] == "laminet"]))
"""
    assert run(script, code) == ["True False", "True", "threadpoolctl", "1"]


def test_a_threadpoolctl_that_takes_no_libraries(script, tmp_path):
    (tmp_path / "threadpoolctl.py").write_text("def threadpool_info(): return []\n")
    code = "import threadpoolctl; print(threadpoolctl.threadpool_info(), threadpoolctl.__file__)"
    expected = [f"[] {tmp_path / 'threadpoolctl.py'}"]
    start = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
    for first in (start, start + "import threadpoolctl\n"):
        result = script(first + COMMON + code)
        assert result.stdout.splitlines() == expected, result.stderr


def test_other_libraries_of_that_file_name_are_left_alone(script, tmp_path):
    other = shutil.copy(_other_library(), tmp_path / "_core.so")
    code = f"import ctypes; ctypes.CDLL({str(other)!r}); print(len(ours()))"
    assert limited(script, code) == ["1"]


def _other_library() -> str:
    import _ctypes

    return _ctypes.__file__


def test_limits_end_as_they_began(script):
    """A number that follows the CPUs follows them afterwards; one that was set stands again."""
    code = """
show()
with threadpool_limits(1):
    show()
    with threadpool_limits(3): print(ln.get_num_threads())
    print(ln.get_num_threads())
    with ln.num_threads(4): print(ln.get_num_threads(), ln.build_info()["threads_source"])
    print(ln.get_num_threads())
show()
with threadpool_limits(1, user_api="blas"): show()
show()
ln.set_num_threads(6)
with threadpool_limits(1): print(ln.get_num_threads())
print(ln.get_num_threads(), ln.build_info()["threads_source"])
threadpool_limits(2)
print(ln.get_num_threads())
ln.set_num_threads(5)
print(ln.get_num_threads())
"""
    lines = limited(script, code)
    default = lines[0]
    assert default.split(maxsplit=1)[0] == str(min(CPUS, 1024))
    assert lines == [
        default, "1 threadpoolctl 1" if CPUS > 1 else default, "3", "1", "4 set_num_threads", "1",
        default, default, default,
        "1", "6 set_num_threads", "2", "5",
    ]  # fmt: skip


@several_cpus
def test_limits_while_the_cpus_change(script):
    code = """
with threadpool_limits(1):
    os.sched_setaffinity(0, cpus[:1])
print(ln.get_num_threads(), ln.build_info()["threads_source"])
with threadpool_limits(1):
    os.sched_setaffinity(0, cpus)
print(ln.get_num_threads() > 1, ln.build_info()["threads_source"])
"""
    assert limited(script, code) == ["1 CPUs allowed", "True CPUs allowed"]


@several_cpus
def test_within_a_limit_no_thread_is_started(script):
    code = """
before = set(others())
with threadpool_limits(1):
    for _ in range(5): net(x)
    print(set(others()) == before)
net(x)
print(set(others()) > before)
"""
    assert limited(script, code, OPENBLAS_NUM_THREADS="1") == ["True", "True"]


def test_the_symbols(script):
    """As C programs use them; less than one is no limit."""
    code = """
import ctypes
library = ctypes.CDLL(_core.__file__)
library.laminet_get_version.restype = ctypes.c_char_p
print(library.laminet_get_version().decode())
own = library.laminet_get_num_threads()
print(own == ln.get_num_threads())
for n in (1, 3, 10**9, 0, 3, -5):
    library.laminet_set_num_threads(n)
    print(library.laminet_get_num_threads() if n > 0 else ln.get_num_threads() == own)
"""
    assert run(script, code) == [ln.__version__, "True", "1", "3", "1024", "True", "3", "True"]


def test_a_limit_does_not_hide_a_wrong_variable(script):
    code = """
import laminet as ln
from threadpoolctl import threadpool_info, threadpool_limits
print([i["num_threads"] for i in threadpool_info() if i["user_api"] == "laminet"])
with threadpool_limits(1):
    ln.MLP.init([2, 2], seed=0)
"""
    result = script(code, LAMINET_NUM_THREADS="two")
    assert result.stdout == "[0]\n"
    message = "ValueError: LAMINET_NUM_THREADS must be a whole number of at least 1, got 'two'"
    assert result.stderr.strip().endswith(message)
