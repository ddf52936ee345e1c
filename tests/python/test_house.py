"""The house rules that a reader relies on: which layer may use which, and what is not committed."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]

#: Arrows of the design: a layer may include itself and those before it.
LAYERS = ["base", "kernels", "gemm", "network", "gradients"]
CPP = TOP / "cpp" / "laminet"
SOURCES = sorted(
    p for p in CPP.rglob("*") if p.suffix in {".h", ".cpp", ".inc"} and p.parent != CPP
)
INCLUDE = re.compile(r'^\s*#include\s+[<"](?:laminet/)(\w+)/', re.MULTILINE)


def layer_of(path: Path) -> str:
    return path.relative_to(CPP).parts[0]


def forbidden_includes(text: str, layer: str) -> list[str]:
    allowed = LAYERS[: LAYERS.index(layer) + 1]
    return [found for found in INCLUDE.findall(text) if found not in allowed]


def test_core_includes_follow_the_arrows() -> None:
    assert len(SOURCES) > 20
    bad = {
        str(p.relative_to(TOP)): wrong
        for p in SOURCES
        if (wrong := forbidden_includes(p.read_text(), layer_of(p)))
    }
    assert bad == {}


def test_the_include_check_can_fail() -> None:
    assert forbidden_includes('#include "laminet/network/mlp.h"\n', "gemm") == ["network"]
    assert forbidden_includes('#include "laminet/base/check.h"\n', "gemm") == []


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
    assert only_in(r"std::j?thread\b[ ({]", "base/parallel.cpp") == []
    assert only_in(r"cpuid\.h|sched_getaffinity|/sys/devices", "base/cpu_info.cpp") == []
    assert only_in(r"immintrin\.h", "kernels/avx2.cpp", "kernels/avx512.cpp") == []


def test_nothing_is_included_within_a_target_region() -> None:
    for name in ("avx2.cpp", "avx512.cpp"):
        text = (CPP / "kernels" / name).read_text()
        region = text[text.index("LAMINET_TARGET_BEGIN(") : text.index("LAMINET_TARGET_END")]
        assert re.findall(r"#include .*", region) == ['#include "laminet/kernels/body/all.inc"']
        assert "std::" not in re.sub(r"std::(u?int\d+_t|size_t|ptrdiff_t)", "", region)
    bodies = sorted((CPP / "kernels" / "body").glob("*.inc"))
    assert len(bodies) > 4
    for path in bodies:
        includes = re.findall(r"#include .*", path.read_text())
        assert all('.inc"' in line for line in includes), path.name
        plain = re.sub(r"std::(u?int\d+_t|size_t|ptrdiff_t)", "", path.read_text())
        code = re.sub(r"//.*", "", plain)
        assert "std::" not in code, path.name


def test_only_the_modules_meant_to_import_the_core() -> None:
    package = TOP / "python" / "laminet"
    users = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names] + [str(node.module)]
            if any(name == "laminet._core" for name in names):
                users.add(str(path.relative_to(package)))
    assert users <= {"__init__.py", "activation.py", "dense.py", "mlp.py", "runtime.py"}


def test_the_top_level_is_as_designed() -> None:
    expected = {"CMakeLists.txt", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"}
    expected |= {"cpp", "python", "tests", "bench"}
    visible = {p.name for p in TOP.iterdir() if not p.name.startswith(".")}
    assert visible - {"build"} == expected
