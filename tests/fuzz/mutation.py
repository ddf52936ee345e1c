"""Changes of bytes, of JSON and of zip archives, from a random.Random."""

from __future__ import annotations

import copy
import io
import json
import random
import struct
import zipfile
from typing import Any

#: What readers of lengths, shapes and offsets trip over.
NUMBERS = [0, 1, 2, 3, 7, 8, 127, 255, 256, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63 - 1]
VALUES = [
    *(None, True, False, -1, 0, 1, 2, 10**6, 2**31, 2**63, 10**30, 0.5, -0.0, 1e308, 1e-320),
    *("", "x", "relu", "\0", "\x1b[31m", "é" * 300, "x" * 10_000, "__class__", "../../x"),
    *([], {}, [[]], [None], {"": None}, [1, 2, 3], {"class_name": "Dense", "config": {}}),
]


def changed_bytes(data: bytes, rng: random.Random, other: bytes = b"") -> bytes:
    """Change a few places; `other` is a second file, of which a part may be taken."""
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 6])):
        if not out:
            break
        # The beginning, with lengths and magic, as often as all the rest.
        at = rng.randrange(min(len(out), 128) if rng.random() < 0.5 else len(out))
        kind = rng.randrange(9)
        if kind == 0:
            out[at] = rng.randrange(256)
        elif kind == 1:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del out[at : at + rng.choice([1, 2, 4, 8, 100])]
        elif kind == 3:
            begin = rng.randrange(len(out))
            out[at:at] = out[begin : begin + rng.randrange(1, 64)]
        elif kind == 4:
            layout = rng.choice(["<B", "<H", "<I", "<I", "<Q", "<Q", ">I"])
            size = struct.calcsize(layout)
            number = rng.choice(NUMBERS) % 2 ** (8 * size)
            out[at : at + size] = struct.pack(layout, number)
        elif kind == 5:
            del out[at:]
        elif kind == 6:
            text = str(rng.choice([*NUMBERS, -1, 10**30, 1e308, "nan", "inf", '"', "{", "[", ","]))
            out[at : at + rng.randrange(3)] = text.encode()
        elif kind == 7 and other:
            begin = rng.randrange(len(other))
            out[at : at + rng.randrange(64)] = other[begin : begin + rng.randrange(1, 64)]
        else:
            out[at : at + 1] = bytes([rng.choice(b"\0\xff\n\r\",;' \t\x1b")]) * rng.choice(
                [1, 2, 500]
            )
    return bytes(out)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Return every container within a JSON value, with each of its keys."""
    found: list[tuple[Any, Any]] = []
    stack = [value]
    while stack:
        container = stack.pop()
        keys = container if isinstance(container, dict) else range(len(container))
        for key in keys:
            found.append((container, key))
            if isinstance(container[key], (dict, list)):
                stack.append(container[key])
    return found


def changed_json(text: str, rng: random.Random) -> str:
    """Put other values, keys and parts into a JSON text."""
    value = json.loads(text)
    for _ in range(rng.choice([1, 1, 2, 4])):
        places = _places(value)
        if not places:
            break
        container, key = rng.choice(places)
        kind = rng.randrange(5)
        if kind == 0:
            del container[key]
        elif kind == 1:
            from_container, from_key = rng.choice(places)
            container[key] = json.loads(json.dumps(from_container[from_key]))
        elif kind == 2 and isinstance(container, dict):
            container[str(rng.choice(VALUES))] = container.pop(key)
        elif kind == 3 and isinstance(container[key], int):
            container[key] = container[key] + rng.choice([-1, 1, 2, 2**31])
        else:
            container[key] = copy.deepcopy(rng.choice(VALUES))
    return json.dumps(value)


def members_of(archive: bytes) -> dict[str, bytes]:
    """Unpack a zip archive."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def zipped(members: dict[str, bytes]) -> bytes:
    """Pack a zip archive, with the sums that belong to what is in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        for name, data in members.items():
            opened.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def changed_zip(archive: bytes, rng: random.Random, change: Any = changed_bytes) -> bytes:
    """Change a member by change(data, rng), or leave it out, or name it as another."""
    members = members_of(archive)
    name = rng.choice(list(members))
    kind = rng.randrange(12)
    if kind == 0:
        del members[name]
    elif kind == 1:
        members[rng.choice([*members, "../x", "", "x" * 300, "\x1b[31m"])] = members.pop(name)
    else:
        members[name] = change(members[name], rng)
    return zipped(members)
