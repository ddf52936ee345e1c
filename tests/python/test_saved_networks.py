"""The files that the C++ tests read are those that this Python half writes and reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from saved_networks import FOLDER, answers, networks, write

import laminet as ln
from laminet.files.safetensors_files.description import FORMAT_VERSION
from laminet.files.safetensors_files.header import read

pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="needs the C++ tests beside these")


def test_files_are_written_as_they_were(tmp_path: Path) -> None:
    write(tmp_path)
    there = {path.name for path in FOLDER.glob("*.safetensors")}
    assert there == {path.name for path in tmp_path.iterdir()}
    for name in networks():
        file = f"{name}.safetensors"
        assert (tmp_path / file).read_bytes() == (FOLDER / file).read_bytes(), file


def test_every_format_is_there() -> None:
    found = set()
    for name in networks():
        _, header, _ = read(str(FOLDER / f"{name}.safetensors"), "laminet")
        version = json.loads(header["__metadata__"]["laminet"])["format"]
        assert name.startswith(f"format_{version}")
        found.add(version)
    assert found == set(range(1, FORMAT_VERSION + 1))


@pytest.mark.skipif(ln.build_info()["isa"] == "generic", reason="bits are promised from AVX2 on")
@pytest.mark.parametrize("name", networks())
def test_answers_are_those_of_the_files(name: str) -> None:
    net = ln.load(FOLDER / f"{name}.safetensors")
    assert answers(net) == (FOLDER / f"{name}.answers.safetensors").read_bytes()
