"""The house: which room of the package may import which, and what stands at the top."""

from __future__ import annotations

import ast
import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import laminet

TOP = Path(__file__).resolve().parents[2]
PACKAGE = TOP / "python" / "laminet"
MODULES = sorted(PACKAGE.rglob("*.py"))


#: A room of the package, and those that it may import; it may always import itself.
ROOMS = {
    "core": set(),
    "files": {"core"},
    "show": {"core", "files"},
    "losses": {"core"},
    "optim": {"core"},
    "reference": {"core", "losses", "optim"},
    "analysis": {"core", "files", "show", "losses", "optim", "reference"},
    "interop": {"core", "files", "show", "losses", "optim"},
    "training": {"core", "files", "show", "losses", "optim", "reference"},
    "scoring": {"core", "files"},
    "distributed": {"core", "losses", "optim", "training"},
    "sklearn": {"core", "losses", "optim", "training"},
    "data": {"core", "files", "losses", "optim", "interop", "training"},
    "cli": {
        *("core", "files", "show", "losses", "optim", "reference", "analysis", "interop", "data"),
        *("scoring", "training", "laminet"),
    },
}
#: Files beside the rooms. `laminet` is the package's ``__init__``, which no room but cli imports.
BESIDE_ROOMS = {
    "laminet": {*ROOMS, "_core", "_former_names", "_wiring"} - {"cli", "sklearn"},
    "_former_names": {"core"},
    "_wiring": {"core", "files", "show", "analysis"},
    "__main__": {"cli"},
}
#: All that `show` knows of the core and of files: cells of tables, and how a file is written.
KNOWN_TO_SHOW = {"core.table_data", "files.atomic"}
#: What losses and optimisers know nothing of, though it is in the core.
NETWORKS = {"core.mlp", "core.network", "core.layers", "core.outputs"}
#: These alone know the extension, and so the types that it tells apart.
KNOW_THE_EXTENSION = {"laminet", "core.activation", "core.layers.dense", "core.mlp"}
KNOW_THE_EXTENSION |= {"core.probes", "core.runtime", "core.stepwise"}
KNOW_THE_EXTENSION |= {"training.least_squares", "training.trainer"}


@dataclasses.dataclass(frozen=True)
class Imports:
    """Modules of the package that one imports: as it is loaded, in functions, for types alone."""

    loaded: set[str]
    lazy: set[str]
    types: set[str]


def name_of(path: Path) -> str:
    """Name of a module within the package; "laminet" of its ``__init__``."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "laminet"


def imports(text: str, package: str, modules: set[str]) -> Imports:
    """What a module within `package` ("laminet", "laminet.core") imports of these modules."""
    found = Imports(set(), set(), set())

    def note(base: str, names: list[str], kind: set[str]) -> None:
        if base.partition(".")[0] != "laminet":  # a library may have the name of a room
            return
        for name in names:
            inside = [f"{base}.{name}".removeprefix("laminet."), base.removeprefix("laminet.")]
            kind |= set([m for m in inside if m in modules][:1])

    def look(node: ast.AST, kind: set[str]) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                base, _, name = f".{alias.name}".rpartition(".")
                note(base[1:] or name, [name], kind)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            start = parents[: len(parents) - node.level + 1] if node.level else []
            base = ".".join([*start, *filter(None, [node.module])])
            note(base, [alias.name for alias in node.names], kind)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.body:
                look(child, found.types)
            for child in node.orelse:
                look(child, kind)
        else:
            inside = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            for child in ast.iter_child_nodes(node):
                look(child, found.lazy if inside and kind is found.loaded else kind)

    look(ast.parse(text), found.loaded)
    return found


NAMES = {name_of(path): path for path in MODULES}
IMPORTS = {
    name: imports(
        path.read_text(),
        ".".join(["laminet", *path.relative_to(PACKAGE).parts[:-1]]),
        {*NAMES, "_core"},
    )
    for name, path in NAMES.items()
}
AT_RUN_TIME = {name: found.loaded | found.lazy for name, found in IMPORTS.items()}
ALL = {name: found.loaded | found.lazy | found.types for name, found in IMPORTS.items()}


def room_of(name: str) -> str:
    return name.partition(".")[0]


def forbidden_imports(graph: dict[str, set[str]]) -> dict[str, list[str]]:
    """Modules with those of their imports that no arrow allows."""
    bad = {}
    for name, found in graph.items():
        room = room_of(name)
        allowed = {room} | (BESIDE_ROOMS.get(room) or ROOMS[room])
        wrong = {other for other in found if room_of(other) not in allowed}
        if name in KNOW_THE_EXTENSION:
            wrong -= {"_core"}
        if room in ("losses", "optim"):
            wrong |= {o for o in found if o in NETWORKS or o.startswith("core.layers.")}
        if room == "show":
            wrong |= {o for o in found if room_of(o) != "show" and o not in KNOWN_TO_SHOW}
        if wrong:
            bad[name] = sorted(wrong)
    return bad


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Modules that import each other, directly or by way of others (Tarjan's algorithm)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    waiting: list[str] = []
    found = []

    def visit(name: str) -> None:
        number[name] = lowest[name] = len(number)
        waiting.append(name)
        for other in graph.get(name, ()):
            if other not in number:
                visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in waiting:
                lowest[name] = min(lowest[name], number[other])
        if lowest[name] == number[name]:
            first = waiting.index(name)
            members = waiting[first:]
            del waiting[first:]
            if len(members) > 1 or name in graph.get(name, ()):
                found.append(sorted(members))

    for name in graph:
        if name not in number:
            visit(name)
    return found


def test_every_module_is_in_a_room() -> None:
    assert len(MODULES) > 100
    assert {room_of(name) for name in NAMES} == {*ROOMS, *BESIDE_ROOMS}


def test_python_imports_follow_the_arrows() -> None:
    """Those for types alone, too: what a signature names, a reader must look up."""
    assert forbidden_imports(ALL) == {}


def test_no_python_modules_import_each_other() -> None:
    assert circles(AT_RUN_TIME) == []


def test_types_refer_to_each_other_within_a_folder_alone() -> None:
    """As the parts of one structure do: a node of a graph knows the graph."""
    for members in circles(ALL):
        assert len({name.rpartition(".")[0] for name in members}) == 1, members


def test_what_is_compared_with_is_not_made_of_what_is_compared() -> None:
    """The reference computes with NumPy alone, by the names and parameters of activations."""
    computing = {"core.mlp", "core.layers.dense", "core.outputs", "core.initialization"}
    for name in NAMES:
        if room_of(name) == "reference":
            assert not AT_RUN_TIME[name] & computing, name


def test_the_package_starts_with_numpy_and_the_standard_library_alone() -> None:
    """Whatever else it needs, it imports where it is first needed."""
    packages = str(Path(np.__file__).parents[1])
    ours = str(
        Path(laminet.__file__).parents[1]
    )  # the sources have no extension where it is installed
    code = f"""
import sys
sys.path += [{ours!r}, {packages!r}]
import laminet
files = {{name.partition(".")[0]: getattr(m, "__file__", None) for name, m in sys.modules.items()}}
print(*(name for name, file in files.items() if (file or "").startswith({packages!r})))
"""
    # Without site, where an environment may import what it likes.
    command = [sys.executable, "-S", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert set(result.stdout.split()) - {"laminet"} == {"numpy"}


@pytest.mark.parametrize(
    ("statement", "kind", "imported"),
    [
        ("import laminet._core", "loaded", "_core"),
        ("import laminet._core as core", "loaded", "_core"),
        ("from laminet import _core", "loaded", "_core"),
        ("from laminet._core import isa", "loaded", "_core"),
        ("from .. import _core", "loaded", "_core"),
        ("from .._core import isa", "loaded", "_core"),
        ("from laminet import MLP", "loaded", "laminet"),
        ("import laminet", "loaded", "laminet"),
        ("from laminet.core.mlp import MLP", "loaded", "core.mlp"),
        ("from .cost import cost", "loaded", "analysis.cost"),
        ("from laminet.core import mlp", "loaded", "core.mlp"),
        ("class A:\n    from laminet.core import mlp", "loaded", "core.mlp"),
        ("def f():\n    import numpy, laminet._core", "lazy", "_core"),
        ("f = lambda: __import__('x')\ndef g():\n    from . import cost", "lazy", "analysis.cost"),
        ("if TYPE_CHECKING:\n    from laminet.core.mlp import MLP", "types", "core.mlp"),
        ("if typing.TYPE_CHECKING:\n    import laminet.core.mlp", "types", "core.mlp"),
        ("if TYPE_CHECKING:\n    pass\nelse:\n    import laminet._core", "loaded", "_core"),
    ],
)
def test_the_import_check_sees(statement: str, kind: str, imported: str) -> None:
    found = imports(statement, "laminet.analysis", {*NAMES, "_core"})
    expected = {name: {imported} if name == kind else set() for name in ("loaded", "lazy", "types")}
    assert vars(found) == expected


def test_the_import_check_knows_folders() -> None:
    known = {*NAMES, "_core"}
    assert imports("from . import _core", "laminet", known).loaded == {"_core"}
    assert imports("from . import _core", "laminet.core", known).loaded == {"core"}
    assert "core.conversion.arrays" in ALL["core.conversion"]
    assert "core.layers.dense" in ALL["laminet"] | ALL["core.layers"]


@pytest.mark.parametrize(
    ("module", "other", "fine"),
    [
        ("core.mlp", "core.outputs", True),
        ("core.mlp", "_core", True),
        ("core.outputs", "_core", False),
        ("core.mlp", "analysis.summary", False),
        ("core.mlp", "files.safetensors_files", False),
        ("core.trace", "show.text", False),
        ("core.mlp", "laminet", False),
        ("files.atomic", "interop.chain", False),
        ("show.html", "core.table_data", True),
        ("show.html", "core.mlp", False),
        ("analysis.cost", "core.mlp", True),
        ("analysis.cost", "interop.files", False),
        ("analysis.cost", "_core", False),
        ("reference", "analysis", False),
        ("reference.losses", "losses.loss", True),
        ("reference.optimizers", "optim", True),
        ("losses.loss", "core.described", True),
        ("losses.loss", "core.mlp", False),
        ("losses.loss", "optim.schedules", False),
        ("losses.loss", "reference.losses", False),
        ("optim.muon", "core.mlp", False),
        ("optim.muon", "reference", False),
        ("optim.muon", "_core", False),
        ("cli.info", "analysis.cost", True),
        ("interop.files", "cli.common", False),
        ("interop.files", "data", False),
        ("laminet", "cli", False),
    ],
)
def test_the_check_of_arrows_can_fail(module: str, other: str, fine: bool) -> None:
    assert forbidden_imports({module: {other}}) == ({} if fine else {module: [other]})


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        ({"a": {"b"}, "b": {"c"}, "c": set()}, []),
        ({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}}, []),
        ({"a": {"b"}, "b": {"a"}}, [["a", "b"]]),
        ({"a": {"a"}}, [["a"]]),
        (
            {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": {"e"}, "e": {"d"}},
            [["b", "c"], ["d", "e"]],
        ),
        ({"x": {"a"}, "a": {"b"}, "b": {"c"}, "c": {"a"}}, [["a", "b", "c"]]),
    ],
)
def test_the_check_of_circles_can_fail(
    graph: dict[str, set[str]], expected: list[list[str]]
) -> None:
    assert sorted(circles(graph)) == expected


def test_the_top_level_is_as_designed() -> None:
    expected = {"CMakeLists.txt", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"}
    expected |= {"CONTRIBUTING.md", "CMakePresets.json", "RELEASING.md"}
    expected |= {"cpp", "python", "tests", "bench", "docs"}
    visible = {p.name for p in TOP.iterdir() if not p.name.startswith(".")}
    # A user may have made an environment of any name here.
    environments = {p.parent.name for p in TOP.glob("*/pyvenv.cfg")}
    assert visible - environments - {"build"} == expected
