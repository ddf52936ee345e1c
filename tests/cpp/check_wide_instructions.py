"""Fail if an object compiled for every CPU has AVX instructions in it.

Usage: check_wide_instructions.py OBJDUMP ARCHIVE

In the archive, only functions of the namespaces kernels::avx2 and kernels::avx512 may touch a ymm
or zmm register. Anything else, above all an inline function of the standard library compiled for
the wider set, could be chosen by the linker for the whole program, and crash an older CPU.
"""

from __future__ import annotations

import re
import subprocess
import sys

OWN_NAMESPACE = re.compile(r"laminet::kernels::(avx2|avx512)::")
FUNCTION = re.compile(r"^[0-9a-f]+ <(.*)>:$")
WIDE = re.compile(r"%[yz]mm")


def main() -> int:
    """Print the offending functions; return their number, at most 1."""
    objdump, archive = sys.argv[1:]
    text = subprocess.run(
        [objdump, "-d", "-C", "--no-show-raw-insn", archive],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    function = ""
    offenders: set[str] = set()
    own: set[str] = set()
    for line in text.splitlines():
        if match := FUNCTION.match(line):
            function = match.group(1)
        elif WIDE.search(line):
            (own if OWN_NAMESPACE.search(function) else offenders).add(function)
    for name in sorted(offenders):
        print(f"uses ymm or zmm registers, but is for every CPU: {name}")
    print(f"{len(own)} functions of the wider instruction sets, {len(offenders)} leaks")
    if not own:
        print("found no wide functions at all: the check has lost its object")
    return 1 if offenders or not own else 0


if __name__ == "__main__":
    sys.exit(main())
