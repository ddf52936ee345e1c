"""Limits that threadpoolctl sets, and the C symbols by which it does."""

from __future__ import annotations

import shutil

import pytest
from cpus import COMMON, CPUS, run, several_cpus

import laminet as ln

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
