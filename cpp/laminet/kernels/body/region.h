// How a kernel file opens and closes a region compiled for a wider instruction set.
//
// A target region, unlike a compiler flag for the whole file, leaves every function of the headers
// included before it at the baseline. With a flag the linker could keep a wide copy of an inline
// function that other files share, and an older CPU would crash in it. Hence the rule: all
// #include lines of headers come before the region; within it only the bodies (*.inc) follow, and
// they use no std templates.
#pragma once

#if defined(__clang__)
#define LAMINET_PRAGMA(text) _Pragma(#text)
#define LAMINET_TARGET_BEGIN(isa) \
  LAMINET_PRAGMA(clang attribute push(__attribute__((target(isa))), apply_to = function))
#define LAMINET_TARGET_END LAMINET_PRAGMA(clang attribute pop)
#define LAMINET_UNROLL LAMINET_PRAGMA(unroll)
#else
#define LAMINET_PRAGMA(text) _Pragma(#text)
#define LAMINET_TARGET_BEGIN(isa)  \
  LAMINET_PRAGMA(GCC push_options) \
  LAMINET_PRAGMA(GCC target(isa))
#define LAMINET_TARGET_END LAMINET_PRAGMA(GCC pop_options)
#define LAMINET_UNROLL LAMINET_PRAGMA(GCC unroll 64)
#endif

#define LAMINET_INLINE inline __attribute__((always_inline))
