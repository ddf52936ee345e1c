"""Fail if an object compiled for every CPU has AVX instructions in it.

Usage: check_wide_instructions.py OBJDUMP ARCHIVE

In the archive, only functions of the namespaces kernels::avx2, avx512 and avx512_bf16 may have an
instruction in VEX or EVEX encoding: AVX of any width, FMA, AVX-512 masks, BMI. Anything else, above
all an inline function of the standard library compiled for the wider set, could be chosen by the
linker for the whole program, and crash an older CPU.
"""

from __future__ import annotations

import re
import subprocess
import sys

# Mangled names: objdump cannot demangle all of Clang's, and a demangled name may have the namespace
# in an argument of a template. ZZ is a function within a function, K a const member.
OWN_NAMESPACE = re.compile(r"^_ZZ?NK?7laminet7kernels(4avx2|6avx512|11avx512_bf16)")
FUNCTION = re.compile(r"^[0-9a-f]+ <(.*)>:$")
# Address, bytes, mnemonic: with tabs between, or by LLVM a space after the address. Further lines
# of a long instruction have bytes alone, without the tab behind them, and these may look like a
# prefix and a mnemonic: c4 4e ec 4e, of a division by 13.
INSTRUCTION = re.compile(r"^\s*[0-9a-f]+:\s((?:[0-9a-f]{2} ?)+) *\t(.*)$")
# After prefixes of segment and address size, C4, C5 and 62 open VEX and EVEX in 64-bit code.
WIDE = re.compile(r"^(?:(?:26|2e|36|3e|64|65|67) )*(?:c4|c5|62)\b")


def main() -> int:
    """Print the offending functions; return 1 if there are any, or nothing was found to check."""
    objdump, archive = sys.argv[1:]
    text = subprocess.run(
        [objdump, "-d", archive],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    function = ""
    offenders: dict[str, str] = {}
    own: set[str] = set()
    for line in text.splitlines():
        if match := FUNCTION.match(line):
            function = match.group(1)
        elif (match := INSTRUCTION.match(line)) and WIDE.match(match.group(1)):
            if OWN_NAMESPACE.match(function):
                own.add(function)
            else:
                offenders.setdefault(function, match.group(2))
    for name, example in sorted(offenders.items()):
        print(f"has {' '.join(example.split())}, but is for every CPU: {name}")
    print(f"{len(own)} functions of the wider instruction sets, {len(offenders)} leaks")
    if not own:
        print("found no wide functions at all: the check has lost its object")
    return 1 if offenders or not own else 0


if __name__ == "__main__":
    sys.exit(main())
