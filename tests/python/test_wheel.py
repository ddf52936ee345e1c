"""What is installed beside the code: what it says of itself, and the licences of all in it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import sys
from pathlib import Path

import pytest

import laminet as ln

FILES = importlib.metadata.files("laminet") or []
METADATA = importlib.metadata.metadata("laminet")
#: The folder of the repository where these tests lie in it; a copy may lie without it.
TOP = Path(__file__).resolve().parents[2]


def test_the_licence_names_all_that_is_inside() -> None:
    assert METADATA["License-Expression"].split(" AND ") == [
        "MIT",
        "BSD-3-Clause",
        "BSD-3-Clause-Open-MPI",
        "GPL-3.0-or-later WITH GCC-exception-3.1",
        "CC-BY-4.0",
    ]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("LICENSE", ["MIT License"]),
        (
            "OpenBLAS.txt",
            [
                "The OpenBLAS Project",
                "The University of Tennessee",
                "GCC RUNTIME LIBRARY EXCEPTION",
                "GNU GENERAL PUBLIC LICENSE",
            ],
        ),
        ("CC-BY-4.0.txt", ["Attribution 4.0 International", "Section 8 -- Interpretation."]),
        ("NOTICE.txt", ["libscipy_openblas.so", "libstdc++", "laminet/data/digits"]),
    ],
)
def test_the_texts_are_installed(name: str, words: list[str]) -> None:
    (path,) = [
        file
        for file in FILES
        if re.search(rf"\.dist-info/licenses/(.*/)?{re.escape(name)}$", str(file))
    ]
    text = path.read_text(encoding="utf-8")
    assert [word for word in words if word not in text] == []


def test_python_and_needs_are_as_promised() -> None:
    assert METADATA["Requires-Python"] == ">=3.10"
    assert sys.version_info >= (3, 10)
    needed = [line for line in METADATA.get_all("Requires-Dist") or [] if "extra ==" not in line]
    names = {re.split(r"[^\w-]", line)[0] for line in needed}
    assert names == {"numpy", "platformdirs", "rich"}
    # Groups for work on laminet are nothing for its users.
    assert set(METADATA.get_all("Provides-Extra") or []) == {
        "arrow",
        "dask",
        "onnx",
        "plot",
        "sklearn",
    }


def test_the_wheel_is_tested_where_the_sources_are_not() -> None:
    """Of the stage that tests wheels: Python would find sources beside the tests first."""
    if (TOP / "CMakeLists.txt").exists():
        pytest.skip("these tests lie in the sources")
    assert importlib.util.find_spec("laminet.core.mlp") is not None
    assert Path(ln.__file__).is_relative_to(sys.prefix)
    assert ln.build_info()["blas_error"] is None
    assert Path(str(ln.build_info()["blas"]["path"])).is_relative_to(sys.prefix)
