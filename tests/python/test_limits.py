"""How many threads: variables, and the CPUs of the moment.

What follows the CPUs is looked at in processes of its own, as settings hold for the process.
"""

from __future__ import annotations

import pytest
from cpus import CPUS, REPORT, run, several_cpus

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


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_multiprocessing(method, script, tmp_path):
    """A variable that is set before they start, as Dask's nanny does, or by their initialiser."""
    (tmp_path / "worker.py").write_text("""
import os
import laminet as ln
def give(value): os.environ["OMP_NUM_THREADS"] = value
def ask(_): return ln.get_num_threads(), ln.build_info()["threads_source"]
""")
    code = f"""
import multiprocessing, sys
sys.path.insert(0, {str(tmp_path)!r})
import worker
net(x)
if __name__ == "__main__":
    context = multiprocessing.get_context({method!r})
    with context.Pool(2, worker.give, ["1"]) as pool: print(*set(pool.map(worker.ask, range(4))))
    worker.give("1")
    with context.Pool(2) as pool: print(*set(pool.map(worker.ask, range(4))))
"""
    assert run(script, code) == ["(1, 'OMP_NUM_THREADS')"] * 2


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
time.sleep(0.01)
before = others()
for _ in range(20): net(x)
time.sleep(0.01)
print(others() == before)
print(threads_used())
"""
    lines = run(script, code, OPENBLAS_NUM_THREADS="1")
    assert lines == [str(min(CPUS, int(lines[0]))), "True", "1"]
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
def test_what_is_told_is_of_the_moment(script):
    """A plan too, though no call has looked since; both ways."""
    code = """
for some in (cpus, cpus[:1], cpus):
    os.sched_setaffinity(0, some)
    print(threads_used() == ln.get_num_threads() == ln.build_info()["threads"], threads_used() > 1)
"""
    assert run(script, code) == ["True True", "True False", "True True"]


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
