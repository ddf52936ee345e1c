"""The environment variables LAMINET_*, and the choice of the BLAS library; each in its process."""

from __future__ import annotations

import glob
import pathlib
import re
import shutil
import subprocess

import pytest
from process_report import REPORT, report
from variants import ISAS

import laminet as ln
from laminet import _core

# One call, so that the first use is included where the import does not look.
USE = "import laminet as ln; print(ln.build_info()); ln.MLP.init([2, 2], seed=0)([1.0, 2.0])"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LAMINET_NUM_THREADS", "0"),
        ("LAMINET_NUM_THREADS", "-1"),
        ("LAMINET_NUM_THREADS", "two"),
        ("LAMINET_NUM_THREADS", "2.5"),
        ("LAMINET_NUM_THREADS", "2 "),
        ("LAMINET_NUM_THREADS", "4,2"),
        ("LAMINET_BACKEND", "mkl"),
        ("LAMINET_BACKEND", "Tiled"),
        ("LAMINET_ISA", "sse9"),
        ("LAMINET_ISA", "AVX2"),
        ("LAMINET_BLAS", "/nowhere/libopenblas.so"),
        ("LAMINET_BLAS", __file__),
    ],
)
def test_an_unknown_value_is_an_error(variable, value, script):
    result = script(USE, **{variable: value})
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert re.match(r"(ValueError|RuntimeError): " + variable, last), result.stderr
    assert value in last


def test_the_number_of_threads_is_read_before_it_is_needed(script):
    result = script("import laminet as ln; ln.MLP.init([2, 2])", LAMINET_NUM_THREADS="two")
    assert result.returncode == 1
    assert "ValueError: LAMINET_NUM_THREADS" in result.stderr


def test_a_library_that_is_no_blas(script, tmp_path):
    # A shared library that can be loaded, without cblas_sgemm; a copy, as the original is in use.
    library = shutil.copy(_core.__file__, tmp_path / "no_blas.so")
    result = script(USE, LAMINET_BLAS=str(library))
    assert result.returncode == 1
    assert "RuntimeError: LAMINET_BLAS: " in result.stderr
    assert "has no cblas_sgemm" in result.stderr


@pytest.mark.parametrize("value", ["auto", "blas", "tiled"])
def test_backend_from_the_environment(value, script):
    assert report(script(REPORT, LAMINET_BACKEND=value))["backend"] == value


@pytest.mark.parametrize("value", ISAS)
def test_isa_from_the_environment(value, script):
    info = report(script(REPORT, LAMINET_ISA=value))
    assert info["isa"] == value
    assert info["available_isas"] == list(ISAS)


def test_empty_variables_are_as_if_unset(script):
    names = ("NUM_THREADS", "BACKEND", "ISA", "BLAS")
    info = report(script(REPORT, **{f"LAMINET_{name}": "" for name in names}))
    plain = report(script(REPORT))
    assert info == plain


def test_settings_in_code_come_after_the_environment(script):
    code = "import laminet as ln; ln.set_num_threads(2); ln.set_backend('tiled')\n" + REPORT
    info = report(script(code, LAMINET_NUM_THREADS="3", LAMINET_BACKEND="blas"))
    assert (info["threads"], info["backend"]) == (2, "tiled")


# --- Which BLAS ----------------------------------------------------------------------------------


def _other_blas():
    """A CBLAS library that is not ours, with unrenamed 32-bit symbols: Debian's, or none."""
    for pattern in (
        "/usr/lib/*-linux-gnu/libopenblas.so.0",
        "/usr/lib*/libopenblas.so.0",
        "/usr/lib/*-linux-gnu/libblas.so.3",
    ):
        for path in sorted(glob.glob(pattern)):
            return path
    return None


@pytest.mark.skipif(
    _other_blas() is None,
    reason="no system CBLAS to name in LAMINET_BLAS (Debian: apt install libopenblas0)",
)
def test_laminet_blas_names_debians_library(script):
    path = _other_blas()
    code = REPORT.replace("net = ", "ln.set_backend('blas')\nnet = ", 1)
    info = report(script(code, LAMINET_BLAS=path))
    assert info["blas"]["path"] == path
    assert info["blas_error"] is None
    assert info["blas"]["version"] != ln.build_info()["blas"]["version"]


def test_laminet_blas_names_a_copy_with_renamed_symbols(script, tmp_path):
    """The library of the wheel scipy-openblas32, elsewhere: with the prefix scipy_."""
    ours = pathlib.Path(ln.build_info()["blas"]["path"])
    other = tmp_path / "other.so"
    shutil.copy(ours, other)
    code = REPORT.replace("net = ", "ln.set_backend('blas')\nnet = ", 1)
    info = report(script(code, LAMINET_BLAS=str(other)))
    assert info["blas"]["path"] == str(other)
    assert info["blas"]["version"] == ln.build_info()["blas"]["version"]


def _use(path):
    """Load the library as another part of the process would, then use laminet."""
    return f"import ctypes; other = ctypes.CDLL({str(path)!r})\n" + USE


def _refuses_as_in_use(result, path):
    assert result.returncode == 1, result.stdout
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith(f"RuntimeError: LAMINET_BLAS: {path} is in use"), result.stderr


def test_a_library_in_use_is_refused(script, tmp_path):
    """It would be set to one thread, for the other user as well."""
    other, link = tmp_path / "other.so", tmp_path / "link.so"
    shutil.copy(ln.build_info()["blas"]["path"], other)
    link.symlink_to(other)
    for name in (other, link):
        _refuses_as_in_use(script(_use(other), LAMINET_BLAS=str(name)), name)
    # A copy is another library, whatever it calls itself.
    copy = tmp_path / "copy.so"
    shutil.copy(other, copy)
    result = script(_use(other), LAMINET_BLAS=str(copy))
    assert result.returncode == 0, result.stderr


@pytest.mark.skipif(
    _other_blas() is None,
    reason="no system CBLAS to name in LAMINET_BLAS (Debian: apt install libopenblas0)",
)
def test_debians_library_in_use_is_refused(script):
    path = _other_blas()
    _refuses_as_in_use(script(_use(path), LAMINET_BLAS=path), path)


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler to make a library with")
@pytest.mark.parametrize("function", ["openblas_set_num_threads", "cblas_sgemm"])
def test_a_library_that_needs_one_in_use_is_refused(script, tmp_path, function):
    """As a libblas.so.3 may, which leads to the libopenblas.so.0 of NumPy."""
    functions = ILP64.replace("long long", "int") + "int openblas_set_num_threads(void) {}\n"
    text = next(line for line in functions.splitlines() if f" {function}(" in line)
    core, library = tmp_path / "libcore.so", tmp_path / "libwrapper.so"
    for source, target, more in (
        (text, core, []),
        (
            functions.replace(text, ""),
            library,
            ["-Wl,--no-as-needed", core, f"-Wl,-rpath,{tmp_path}"],
        ),
    ):
        target.with_suffix(".c").write_text(source)
        command = ["cc", "-shared", "-fPIC", "-w", "-o", target, target.with_suffix(".c"), *more]
        subprocess.run(command, check=True)
    code = "import laminet as ln; print(ln.build_info()['blas']['path'])"
    result = script(code, LAMINET_BLAS=str(library))
    assert result.stdout == f"{library}\n", result.stderr
    result = script(_use(core), LAMINET_BLAS=str(library))
    message = f"LAMINET_BLAS: {library} needs another library: {core} is in use by another part"
    assert message in result.stderr


@pytest.fixture
def package_without_libraries(tmp_path):
    """A copy of the installed package, but for its folder _libs; returns a path to import from."""
    package = tmp_path / "laminet"
    source = pathlib.Path(ln.__file__).parent
    shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__", "_libs"))
    # An editable install has the compiled module elsewhere.
    shutil.copy(_core.__file__, package)
    return str(tmp_path)


# A module finder of an editable install would come before PYTHONPATH.
ONLY_PATHS = """
import sys
sys.meta_path = [f for f in sys.meta_path if "editable" not in type(f).__module__ + repr(f).lower()
                 and "ScikitBuild" not in type(f).__name__]
"""


def test_without_openblas_the_tiled_back_end_works(script, package_without_libraries):
    info = report(script(ONLY_PATHS + REPORT, PYTHONPATH=package_without_libraries))
    assert info["file"].startswith(package_without_libraries), "another laminet was imported"
    assert info["blas"] is None
    assert "OpenBLAS" in info["blas_error"]
    assert info["backend"] == "auto"


def test_without_openblas_in_every_instruction_set(script, package_without_libraries):
    """`auto` prefers BLAS for the generic kernels, and must not where there is none."""
    for isa in ISAS:
        code = ONLY_PATHS + REPORT
        info = report(script(code, PYTHONPATH=package_without_libraries, LAMINET_ISA=isa))
        assert info["blas"] is None
        assert info["isa"] == isa


def test_without_openblas_blas_is_refused(script, package_without_libraries):
    code = """
import laminet as ln
try:
    ln.set_backend("blas")
except RuntimeError as error:
    print(error)
print(ln.get_backend())
"""
    result = script(ONLY_PATHS + code, PYTHONPATH=package_without_libraries)
    assert re.match(r"backend: back end 'blas' is not available: .*OpenBLAS.*\nauto\n$",
                    result.stdout), result.stdout + result.stderr  # fmt: skip
    result = script(ONLY_PATHS + USE, PYTHONPATH=package_without_libraries, LAMINET_BACKEND="blas")
    assert result.returncode == 1
    assert "RuntimeError: LAMINET_BACKEND: back end 'blas' is not available" in result.stderr


def test_a_broken_library_is_said_by_build_info(script, package_without_libraries):
    libraries = pathlib.Path(package_without_libraries, "laminet", "_libs")
    libraries.mkdir()
    name = pathlib.Path(ln.build_info()["blas"]["path"]).name
    (libraries / name).write_bytes(b"\x7fELF but no more")
    info = report(script(ONLY_PATHS + REPORT, PYTHONPATH=package_without_libraries))
    assert info["blas"] is None
    assert name in info["blas_error"]


ILP64 = """
typedef long long integer;
void cblas_sgemm(void) {}
void cblas_dgemm(void) {}
void cblas_sgemv(void) {}
void cblas_dgemv(void) {}
float cblas_sdot(integer n, const float* x, integer incx, const float* y, integer incy) {
  float sum = 0;
  for (integer i = 0; i < n; ++i) sum += x[i * incx] * y[i * incy];
  return sum;
}
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler to make a library with")
@pytest.mark.parametrize("integer", ["long long", "int"])
def test_a_library_is_asked_for_the_size_of_its_integers(script, tmp_path, integer):
    source, library = tmp_path / "blas.c", tmp_path / "libblas.so"
    source.write_text(ILP64.replace("long long", integer))
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    code = "import laminet as ln; print(ln.build_info()['blas']['path'])"
    result = script(code, LAMINET_BLAS=str(library))
    if integer == "int":
        assert result.stdout == f"{library}\n", result.stderr
    else:
        message = f"LAMINET_BLAS: {library} takes 64-bit integers; a library with 32-bit integers"
        assert message in result.stderr


LAYERS = """
#include <stdlib.h>
static int integers = 64, threads = 2;  /* as the environment may say */
int MKL_Set_Interface_Layer(int layer) { if (layer == 0) integers = 32; return layer; }
int MKL_Set_Threading_Layer(int layer) { if (layer == 1) threads = 1; return layer; }
void cblas_sgemm(void) {}
void cblas_dgemm(void) {}
void cblas_sgemv(void) {}
void cblas_dgemv(void) {}
float cblas_sdot(int n, const float* x, int incx, const float* y, int incy) {
  if (integers != 32 || threads != 1) abort();  /* needs a library that is not there */
  float sum = 0;
  for (int i = 0; i < n; ++i) sum += x[i * incx] * y[i * incy];
  return sum;
}
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler to make a library with")
def test_mkl_is_told_which_of_its_libraries_to_use_before_it_chooses(script, tmp_path):
    """Its first call loads those that its environment names, whatever they are."""
    source, library = tmp_path / "mkl.c", tmp_path / "libmkl.so"
    source.write_text(LAYERS)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    code = "import laminet as ln; print(ln.build_info()['blas']['path'])"
    result = script(code, LAMINET_BLAS=str(library))
    assert result.stdout == f"{library}\n", result.stderr
