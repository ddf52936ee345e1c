"""Fail if the core has a lock that a fork could leave locked, or a variable of a thread.

Usage: check_locks.py OBJDUMP ARCHIVE

Of what another thread holds while a process is forked, nothing is ever released in the child. So
the core waits for locks in base/lazy.h alone, and no static local of a function has an initialiser
that runs. Why there is no thread_local, base/per_thread.h says.
"""

from __future__ import annotations

import re
import subprocess
import sys

# As binutils and LLVM print it: "team.cpp.o:" and "liblaminet.a(team.cpp.o):".
OBJECT = re.compile(r"^(?:\S+\()?(\S+?\.o(?:bj)?)\)?:\s+file format")
UNDEFINED = re.compile(r"\*UND\*\s+[0-9a-f]+\s+(?:\.hidden )?(\S+)$")
FORBIDDEN = {
    "__cxa_guard_acquire": "a static local with an initialiser that runs",
    "pthread_once": "std::call_once",
    "_ZSt9call_once": "std::call_once",
    "__once_proxy": "std::call_once",
    "pthread_mutex_lock": "a mutex",
    "pthread_rwlock_wrlock": "a mutex",
    "__cxa_thread_atexit": "a thread_local with a destructor",
    "__tls_get_addr": "a thread_local",
    "__emutls_get_address": "a thread_local",
}
# The team's, of which a child has one of its own.
ALLOWED = {
    ("team.cpp.o", "pthread_mutex_lock"),
    ("placement.cpp.o", "pthread_mutex_lock"),
}


def main() -> int:
    """Print what is forbidden; return 1 if there is any, or nothing was found to check."""
    objdump, archive = sys.argv[1:]
    text = subprocess.run(
        [objdump, "-t", archive], check=True, capture_output=True, text=True
    ).stdout
    name = ""
    objects: set[str] = set()
    wrong = 0
    for line in text.splitlines():
        if match := OBJECT.match(line):
            name = match.group(1)
            objects.add(name)
        elif match := UNDEFINED.search(line):
            symbol = match.group(1).partition("@")[0]
            what = FORBIDDEN.get(symbol)
            if what and (name, symbol) not in ALLOWED:
                print(f"{name} has {what} ({symbol})")
                wrong += 1
    print(f"{len(objects)} objects, {wrong} locks that a fork could leave locked")
    if not objects:
        print("found no objects at all: the check has lost its archive")
    return 1 if wrong or not objects else 0


if __name__ == "__main__":
    sys.exit(main())
