"""The fuzzer: it finds what it is there for, keeps the file, and tells how to do it again."""

from __future__ import annotations

import json
import random
import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

RUN = Path(__file__).resolve().parents[1] / "fuzz" / "run.py"

READERS = """
import os, time

class Reader:
    def case(self, rng):
        return ".bin", rng.randbytes(8)
    def read(self, path):
        return path.read_bytes()[0] % 2 == 0

class Raises(Reader):
    def read(self, path):
        if path.read_bytes()[0] % 16 == 3:
            raise KeyError("three")
        return super().read(path)

class Dies(Reader):
    def read(self, path):
        if path.read_bytes()[0] % 16 == 3:
            os.abort()
        return super().read(path)

class Hangs(Reader):
    def read(self, path):
        while True: time.sleep(1)

class Eats(Reader):
    def read(self, path):
        return len(bytearray(5 * 2**30)) > 0

class Refuses(Reader):
    def read(self, path):
        return False

READERS = {"good": Reader, "raises": Raises, "dies": Dies, "hangs": Hangs, "eats": Eats,
           "refuses": Refuses}
"""


@pytest.fixture
def readers(tmp_path: Path) -> Path:
    (tmp_path / "readers.py").write_text(READERS)
    return tmp_path


def fuzz(folder: Path, name: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(RUN), "--only", name, "--readers", str(folder / "readers.py")]
    command += ["--folder", str(folder / "kept"), "--seconds", "0.2", "--longest", "1", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_sound_reader_passes_and_leaves_nothing(readers: Path) -> None:
    done = fuzz(readers, "good")
    assert done.returncode == 0, done.stdout
    assert re.search(r"^good: \d+ cases, [1-9]\d* read, [1-9]\d* refused$", done.stdout, re.M)
    assert list((readers / "kept").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("raises", "KeyError: 'three'"),
        ("dies", "dies ended by signal 6: "),
        ("hangs", "hangs took longer than 1 s: "),
        ("eats", "MemoryError"),
    ],
)
def test_a_failure_is_kept_and_can_be_done_again(readers: Path, name: str, said: str) -> None:
    done = fuzz(readers, name, "--seed", "5")
    assert done.returncode == 1
    assert said in done.stdout
    assert f"--only {name} --seed 5 --case NUMBER" in done.stdout
    assert done.stdout.endswith("fuzzing FAILED\n")
    first = min((readers / "kept").iterdir(), key=lambda p: int(p.stem.rpartition("-")[2]))
    data = first.read_bytes()
    again = fuzz(readers, name, "--seed", "5", "--case", first.stem.rpartition("-")[2])
    assert again.returncode == 1
    assert first.read_bytes() == data


def test_a_reader_that_only_refuses_was_not_tried(readers: Path) -> None:
    done = fuzz(readers, "refuses")
    assert done.returncode == 1
    assert "refuses was not tried" in done.stdout


def test_changes_are_changes_and_are_the_same_again() -> None:
    mutation = SimpleNamespace(**runpy.run_path(str(RUN.with_name("mutation.py"))))
    data = bytes(range(200))
    text = json.dumps({"layers": [{"units": 3}, {"units": 4}], "name": "x"})
    archive = mutation.zipped({"a": data, "b": b"two"})
    for change, sound in (
        (mutation.changed_bytes, data),
        (mutation.changed_json, text),
        (mutation.changed_zip, archive),
    ):
        results = [change(sound, random.Random(i)) for i in range(100)]
        assert results == [change(sound, random.Random(i)) for i in range(100)]
        assert len(set(results)) > 30
        assert sum(r != sound for r in results) > 80
