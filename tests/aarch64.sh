#!/usr/bin/env bash
# The C++ tests on 64-bit Arm: cross-compiled, and run under qemu's user emulation.
#
#     tests/aarch64.sh
#
# Debian: apt install g++-aarch64-linux-gnu qemu-user libgtest-dev cmake ninja-build python3
# Left out are the tests of accuracy over millions of values, of prepare() and the stress, which
# emulation makes slow, the test that limits its address space, which is qemu's too, the one that
# needs a clock of each thread, and those that fork.
set -euo pipefail
cd "$(dirname "$0")/.."
build=build/aarch64
cmake -S . -B $build -G Ninja -DLAMINET_TESTS=ON -DLAMINET_WERROR=ON \
  -DLAMINET_GOOGLETEST=/usr/src/googletest \
  -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
  -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ -DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc \
  '-DCMAKE_CROSSCOMPILING_EMULATOR=qemu-aarch64;-L;/usr/aarch64-linux-gnu' >/dev/null
cmake --build $build --target laminet_tests
ctest --test-dir $build --output-on-failure -R '\.' \
  -E 'Accuracy|Prepare.The|Stress|AThreadWithoutItsCpuShows|GoesOnWhereNoThreadCanStart|Fork|installed_package|baseline_objects|core_has'
