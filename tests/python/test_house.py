"""The house rules that a reader relies on: which layer may use which, and what is not committed."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]

#: Arrows of the design: a layer may include itself and those before it. The probe stands beside
#: the others: it measures the machine, not the products.
LAYERS = ["base", "kernels", "gemm", "network", "gradients"]
BESIDE = {"probe": ["base", "kernels", "probe"]}
CPP = TOP / "cpp" / "laminet"
SOURCES = sorted(
    p for p in CPP.rglob("*") if p.suffix in {".h", ".cpp", ".inc"} and p.parent != CPP
)
BINDINGS = TOP / "python" / "bindings"
BINDING_SOURCES = sorted(p for p in BINDINGS.rglob("*") if p.suffix in {".h", ".cpp"})
INCLUDE = re.compile(r"^\s*#\s*include\s+(.*?)\s*(?://.*)?$", re.MULTILINE)
PACKAGE = TOP / "python" / "laminet"
MODULES = sorted(PACKAGE.rglob("*.py"))


def forbidden_includes(text: str, layers: list[str], own: set[str] | None = None) -> list[str]:
    """Includes of anything but these layers, by their full path, own files, and <other> libraries.

    A header beside the file, "matrix.h", would hide its layer; laminet/laminet.h is all of them.
    """
    allowed = [rf'"laminet/({"|".join(layers)})/(\w+/)*\w+\.(h|inc)"', r"<(?!laminet/|\.)[^>]+>"]
    allowed += [re.escape(f'"{name}"') for name in own or ()]
    return [i for i in INCLUDE.findall(text) if not any(re.fullmatch(a, i) for a in allowed)]


def test_core_includes_follow_the_arrows() -> None:
    assert len(SOURCES) > 20
    bad = {}
    for path in SOURCES:
        layer = path.relative_to(CPP).parts[0]
        allowed = BESIDE.get(layer) or LAYERS[: LAYERS.index(layer) + 1]
        if wrong := forbidden_includes(path.read_text(), allowed):
            bad[str(path.relative_to(TOP))] = wrong
    assert bad == {}


def test_bindings_include_layers_and_their_own_headers() -> None:
    own = {p.name for p in BINDING_SOURCES if p.suffix == ".h"}
    assert len(BINDING_SOURCES) > 5
    bad = {
        p.name: forbidden_includes(p.read_text(), [*LAYERS, *BESIDE], own) for p in BINDING_SOURCES
    }
    assert not any(bad.values()), bad


@pytest.mark.parametrize(
    ("include", "fine"),
    [
        ('#include "laminet/base/check.h"', True),
        ('#include "laminet/gemm/pack.h"  // own', True),
        ("#include <vector>", True),
        ('#include "own.h"', True),
        ('#include "laminet/network/mlp.h"', False),
        ("#include <laminet/network/mlp.h>", False),
        ('  #  include "laminet/network/mlp.h"', False),
        ('#include "laminet/laminet.h"', False),
        ('#include "matrix.h"', False),
        ('#include "../base/matrix.h"', False),
        ('#include "laminet/base/../network/mlp.h"', False),
        ("#include SOME_HEADER", False),
    ],
)
def test_the_include_check_can_fail(include: str, fine: bool) -> None:
    found = forbidden_includes(f"// text\n{include}\nint x;\n", LAYERS[:3], {"own.h"})
    assert (found == []) is fine


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.name)
def test_core_knows_nothing_of_python(path: Path) -> None:
    assert not re.search(r"pybind11|Python\.h|numpy", path.read_text())


def only_in(pattern: str, *places: str) -> list[str]:
    """Sources of the core whose code matches, outside the places that may."""
    return [
        str(p.relative_to(CPP))
        for p in SOURCES
        if re.search(pattern, re.sub(r"//.*", "", p.read_text()))
        and str(p.relative_to(CPP)) not in places
    ]


def test_one_place_for_each_thing() -> None:
    assert only_in(r"\bcblas_|dlopen\(", "gemm/blas.cpp") == []
    assert only_in(r"std::j?thread\b[ ({]", "base/team.cpp") == []
    assert only_in(r"sched_set", "base/placement.cpp") == []
    assert only_in(r"cpuid\.h|/sys/devices", "base/cpu_info.cpp") == []
    assert only_in(r"sched_getaffinity", "base/cpu_info.cpp", "base/placement.cpp") == []
    assert only_in(r"immintrin\.h", "kernels/avx2.cpp", "kernels/avx512.cpp") == []


def test_nothing_is_included_within_a_target_region() -> None:
    for name in ("avx2.cpp", "avx512.cpp"):
        text = (CPP / "kernels" / name).read_text()
        region = text[text.index("LAMINET_TARGET_BEGIN(") : text.index("LAMINET_TARGET_END")]
        assert re.findall(r"#include .*", region) == ['#include "laminet/kernels/body/all.inc"']
        assert "std::" not in re.sub(r"std::(u?int\d+_t|uintptr_t|size_t|ptrdiff_t)", "", region)
    bodies = sorted((CPP / "kernels" / "body").glob("*.inc"))
    assert len(bodies) > 4
    for path in bodies:
        includes = re.findall(r"#include .*", path.read_text())
        assert all('.inc"' in line for line in includes), path.name
        plain = re.sub(r"std::(u?int\d+_t|uintptr_t|size_t|ptrdiff_t)", "", path.read_text())
        code = re.sub(r"//.*", "", plain)
        assert "std::" not in code, path.name


def imports(text: str, module: tuple[str, ...]) -> set[str]:
    """Full names of all that a module imports; `module` is the package it is in."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = module[: len(module) - node.level + 1] if node.level else ()
            base = ".".join([*start, *filter(None, [node.module])])
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return found


def users_of(name: str) -> set[str]:
    """Parts of the package, a file or folder directly in it, that import this part of it."""
    users = set()
    for path in MODULES:
        inside = path.relative_to(PACKAGE)
        found = imports(path.read_text(), ("laminet", *inside.parts[:-1]))
        if any(f"{i}.".startswith(f"laminet.{name}.") for i in found):
            users.add(inside.parts[0].removesuffix(".py"))
    return users


def test_python_imports_follow_the_arrows() -> None:
    """Only these parts know the core; only ``python -m laminet`` knows the command line.

    And none but the command line knows the model that comes with the package.
    """
    assert len(MODULES) > 15
    assert users_of("_core") <= {"__init__", "core"}
    assert users_of("cli") <= {"__main__", "cli"}
    assert users_of("data") <= {"cli", "data"}
    # What every result is compared with must not be made of what it is compared with; `core.mlp`
    # is named there as a type.
    parts = ("_core", "core.layers", "core.runtime")
    assert not any("reference" in users_of(part) for part in parts)


@pytest.mark.parametrize(
    "statement",
    [
        "import laminet._core",
        "import laminet._core as core",
        "from laminet import _core",
        "from laminet._core import isa",
        "from .. import _core",
        "from .._core import isa",
        "def f():\n    import numpy, laminet._core",
    ],
)
def test_the_import_check_can_fail(statement: str) -> None:
    assert "laminet._core" in imports(statement, ("laminet", "analysis"))


def test_the_import_check_knows_folders() -> None:
    assert "laminet._core" in imports("from . import _core", ("laminet",))
    assert "laminet._core" not in imports("from . import _core", ("laminet", "analysis"))
    assert {"core", "interop"} <= users_of("core.layers.dense")


def test_the_top_level_is_as_designed() -> None:
    expected = {"CMakeLists.txt", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"}
    expected |= {"cpp", "python", "tests", "bench"}
    visible = {p.name for p in TOP.iterdir() if not p.name.startswith(".")}
    # A user may have made an environment of any name here.
    environments = {p.parent.name for p in TOP.glob("*/pyvenv.cfg")}
    assert visible - environments - {"build"} == expected
