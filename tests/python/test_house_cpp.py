"""The rules of the C++ half: which layer may include which, and what has one place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]

#: Arrows of the design: a layer may include itself and those before it. The probe stands beside
#: the others: it measures the machine, not the products. So do files: no other layer knows them.
LAYERS = ["base", "kernels", "gemm", "network", "gradients", "training"]
BESIDE = {
    "probe": ["base", "kernels", "probe"],
    "files": ["base", "kernels", "network", "files"],
}
CPP = TOP / "cpp" / "laminet"
SOURCES = sorted(
    p for p in CPP.rglob("*") if p.suffix in {".h", ".cpp", ".inc"} and p.parent != CPP
)
BINDINGS = TOP / "python" / "bindings"
BINDING_SOURCES = sorted(p for p in BINDINGS.rglob("*") if p.suffix in {".h", ".cpp"})
INCLUDE = re.compile(r"^\s*#\s*include\s+(.*?)\s*(?://.*)?$", re.MULTILINE)


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


# What each file of a wider instruction set compiles.
BODIES = {
    "avx2": ["all"],
    "avx512": ["avx512_f32", "all"],
    "avx512_bf16": ["avx512_f32", "simd", "gemm_tile", "gradient_tile"],
}


def only_in(pattern: str, *places: str) -> list[str]:
    """Sources of the core whose code matches, outside the places that may."""
    return [
        str(p.relative_to(CPP))
        for p in SOURCES
        if re.search(pattern, re.sub(r"//.*", "", p.read_text()))
        and str(p.relative_to(CPP)) not in places
    ]


def test_one_place_for_each_thing() -> None:
    assert only_in(r"\bcblas_|dlopen\(", "gemm/blas_library.cpp") == []
    assert only_in(r"std::j?thread\b[ ({]", "base/team.cpp") == []
    assert only_in(r"sched_set", "base/placement.cpp") == []
    assert only_in(r"cpuid\.h|/sys/devices", "base/cpu_info.cpp") == []
    assert only_in(r"sched_getaffinity", "base/cpu_info.cpp", "base/placement.cpp") == []
    wide = [f"kernels/{name}.cpp" for name in BODIES]
    assert only_in(r"immintrin\.h", *wide) == []


def test_nothing_is_included_within_a_target_region() -> None:
    for name, own in BODIES.items():
        text = (CPP / "kernels" / f"{name}.cpp").read_text()
        region = text[text.index("LAMINET_TARGET_BEGIN(") : text.index("LAMINET_TARGET_END")]
        bodies = [f'#include "laminet/kernels/body/{n}.inc"' for n in ("vector_extension", *own)]
        assert re.findall(r"#include .*", region) == bodies
        assert "std::" not in re.sub(r"std::(u?int\d+_t|uintptr_t|size_t|ptrdiff_t)", "", region)
    paths = sorted((CPP / "kernels" / "body").glob("*.inc"))
    assert len(paths) > 4
    for path in paths:
        includes = re.findall(r"#include .*", path.read_text())
        assert all('.inc"' in line for line in includes), path.name
        plain = re.sub(r"std::(u?int\d+_t|uintptr_t|size_t|ptrdiff_t)", "", path.read_text())
        code = re.sub(r"//.*", "", plain)
        assert "std::" not in code, path.name


def test_every_source_is_compiled() -> None:
    """A source that no list names would be missed when the library is loaded, if at all."""
    lists = {CPP.parent: CPP, TOP / "tests" / "cpp": TOP / "tests" / "cpp", BINDINGS: BINDINGS}
    for folder, sources in lists.items():
        text = (folder / "CMakeLists.txt").read_text()
        named = {path.relative_to(folder).as_posix() for path in sources.rglob("*.cpp")}
        named = {name for name in named if not name.startswith("installed/")}  # a project apart
        assert len(named) > 5
        assert named - set(re.findall(r"[\w/]+\.cpp", text)) == set(), folder
    bodies = {path.name for path in (CPP / "kernels" / "body").glob("*.inc")}
    included = set(re.findall(r"body/(\w+\.inc)", (CPP / "kernels/body/all.inc").read_text()))
    # Of the traits, before all others; by the sets that take them.
    assert bodies - included == {"all.inc", "avx512_f32.inc", "vector_extension.inc"}
