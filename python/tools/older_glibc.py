"""Stand-ins of an older C library, for links whose result has to run there.

Usage: python/tools/older_glibc.py FOLDER VERSION, as in ``build/glibc 2.27``; then link with
``-L FOLDER FOLDER/compat.o``.

A program compiled here asks for the newest version of each symbol that this machine's C library
has, and so starts on no older system, though the older versions are all still there: `pthread_once`
of glibc 2.34 is that of 2.2.5 in another file. A linker takes the versions from the library that it
is shown. The ones made here have no code, but the names, each by the newest version up to the one
asked for, in the files where that release had them. What is newer altogether is missing, and the
linker names it; what our own objects use of that kind is in compat.c.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

#: Libraries that glibc 2.34 merged into libc.so.6, and which programs for older ones must name.
MERGED = {"libpthread.so.0": r"_?_?(pthread|sem)_\w+", "libdl.so.2": r"dl[a-z]+"}
FILES = ("libc.so.6", "libm.so.6", *MERGED)

COMPAT = """
/* glibc 2.32 tells whether there is one thread alone; always saying no is what older ones do. */
__attribute__((visibility("hidden"))) char __libc_single_threaded = 0;
"""


def version(text: str) -> tuple[int, ...]:
    """Order versions as numbers: 2.5 comes before 2.27."""
    return tuple(map(int, text.split(".")))


def symbols(library: str, newest: str) -> dict[str, tuple[str, str, int]]:
    """Return the name of each symbol with its newest version so far, its type and its size."""
    listing = subprocess.run(
        ["readelf", "--dyn-syms", "--wide", library], capture_output=True, text=True, check=True
    ).stdout
    pattern = (
        r"^ *\d+: [0-9a-f]+ +(0x[0-9a-f]+|\d+) (FUNC|IFUNC|OBJECT|TLS) +(?:GLOBAL|WEAK|UNIQUE) "
        r"+DEFAULT +\d+ (\w+)@+GLIBC_([0-9.]+)$"
    )
    found: dict[str, tuple[str, str, int]] = {}
    for size, kind, name, since in re.findall(pattern, listing, re.MULTILINE):
        known = found.get(name)
        if version(since) <= version(newest) and (not known or version(known[0]) < version(since)):
            found[name] = (since, kind, int(size, 0))
    return found


def assembly(names: dict[str, tuple[str, str, int]]) -> str:
    """Return a source that defines each name, by a label with its version."""
    lines = []
    for name, (since, kind, size) in names.items():
        section = {"OBJECT": ".bss", "TLS": '.section .tbss,"awT",@nobits'}.get(kind, ".text")
        label = f"of_{name}"
        kind_of_label = {"OBJECT": "object", "TLS": "tls_object"}.get(kind, "function")
        lines += [
            *(section, f".globl {label}", f".type {label}, %{kind_of_label}"),
            *(f".size {label}, {size}", f"{label}: .skip {max(size, 1)}"),
            f".symver {label}, {name}@@GLIBC_{since}",
        ]
    return "\n".join([*lines, '.section .note.GNU-stack,"",%progbits', ""])


def write_library(folder: Path, file: str, names: dict[str, tuple[str, str, int]]) -> None:
    """Write the stand-in of one library."""
    nodes = sorted({since for since, _, _ in names.values()}, key=version)
    source, script = folder / f"{file}.s", folder / f"{file}.map"
    source.write_text(assembly(names))
    # Labels beside the versions are wanted by nobody.
    script.write_text("".join(f"GLIBC_{node} {{}};\n" for node in nodes) + "OURS { local: *; };\n")
    command = [
        *("cc", "-shared", "-nostdlib", f"-Wl,-soname,{file}", f"-Wl,--version-script={script}"),
        *("-Wl,--build-id=none", "-o", folder / file, source),
    ]
    subprocess.run(list(map(str, command)), check=True)


def where(file: str) -> str:
    """Return the path of a file that the compiler links with."""
    command = ["cc", f"-print-file-name={file}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main(folder: Path, newest: str) -> None:
    """Write the libraries, the scripts by which ``-lc`` finds them, and compat.o."""
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    whole = symbols(where("libc.so.6"), newest)
    parts: dict[str, dict[str, tuple[str, str, int]]] = defaultdict(dict)
    for name, symbol in whole.items():
        file = next((f for f, names in MERGED.items() if re.fullmatch(names, name)), "libc.so.6")
        parts[file][name] = symbol
    parts["libm.so.6"] = symbols(where("libm.so.6"), newest)
    for file in FILES:
        write_library(folder, file, parts[file])
    rest = f"{where('libc_nonshared.a')} AS_NEEDED ( {where('ld-linux-x86-64.so.2')} )"
    every = " ".join(f"AS_NEEDED ( {folder / file} )" for file in MERGED)
    # What 2.34 has in libc.so.6, links by -lc alone.
    (folder / "libc.so").write_text(f"GROUP ( {folder}/libc.so.6 {every} {rest} )\n")
    (folder / "libm.so").write_text(f"GROUP ( {folder}/libm.so.6 )\n")
    source = folder / "compat.c"
    source.write_text(COMPAT)
    subprocess.run(["cc", "-O2", "-fPIC", "-c", source, "-o", folder / "compat.o"], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
