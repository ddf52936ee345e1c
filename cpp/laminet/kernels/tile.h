// The register tile of a dense layer: C = A B, B packed in panels. A and the weights may be stored
// in other types than the one that is computed in.
#pragma once

#include <cstddef>
#include <cstdint>

#include "laminet/base/bfloat16.h"

namespace laminet::kernels {

// clang-format off
// One register tile of the product C = A B (+ bias), C being m x n.
//   a           m rows of k elements, `a_stride` elements apart, each row contiguous; not packed
//   panel       k rows of exactly nr elements, one after the other, zero in the columns from n on;
//               each row is aligned to its own size or to 64 bytes, whichever is less
//   c           m rows of n elements, `c_stride` elements apart; nothing outside is read or written
//   bias        n elements, or null
//   accumulate  C += A B instead of C = A B; the bias is added last, either way
//   relu        C = relu(...) after the bias
//   prefetch    the panel is read for the first time and, being large, comes from L2 or beyond
//   ahead       the address of k cache lines to fetch into L2 meanwhile, for later tiles, or 0; not
//               a pointer, since the last ones may be past the end. `multiply` alone heeds it, and
//               not where `prefetch` is set
//   steps       multiply_listed: the row of the panel for each of the k elements of a, and
//               kStepsAhead more rows, to fetch meanwhile
// clang-format on
template <class Compute, class Weight = Compute, class Input = Compute>
struct TileArgs {
  std::size_t k;
  const Input* a;
  std::ptrdiff_t a_stride;
  const Weight* panel;
  Compute* c;
  std::ptrdiff_t c_stride;
  std::size_t n;  // 1 .. nr
  const Compute* bias;
  bool accumulate;
  bool relu;
  bool prefetch;
  std::uintptr_t ahead;
  const std::uint32_t* steps;
};

inline constexpr std::size_t kStepsAhead = 16;

// clang-format off
// Products of numbers of bfloat16, in float, as VDPBF16PS makes them (Intel SDM volume 2, and the
// comment in its operation: "FP32 FMA with daz in, ftz out and RNE rounding"): one accumulator takes
// one product after the other by fused multiply-add, those of upper halves before those of lower
// ones, subnormal factors and sums being zero, and sums that are subnormal once they are rounded
// become zero. Two tiles give these bits:
//   pairs    by the instruction: elements of A and of B are pairs of those that follow each other
//            in k, the first in the upper half; an odd last one has 0 beside it in A, -0 in B,
//            whose product changes no sum
//   rounded  by any other: A has numbers of bfloat16, in float. Run in FlushingFloatMode, and
//            without bias and relu, which are not flushed
// clang-format on
template <class Compute, class Weight = Compute, class Input = Compute>
struct Tile {
  using Args = TileArgs<Compute, Weight, Input>;

  std::size_t mr;
  std::size_t nr;
  void (*multiply)(const Args& args, std::size_t m);  // m in 1 .. mr
  // One row times `row_panels` panels, `panel_size` elements apart, n being all their columns: one
  // row of one panel has too few accumulators to keep the multipliers busy.
  std::size_t row_panels;
  void (*multiply_row)(const Args& args, std::size_t panel_size);
  // The same for a row of which only some elements are given, in ascending order, the others being
  // zero: args.steps. Either `row_panels` panels and all their columns, or at most one panel.
  void (*multiply_listed)(const Args& args, std::size_t panel_size);
  // The same tile for the same weights in bfloat16, which gives the same bits; null where there is
  // none, as of double.
  const Tile<Compute, bfloat16>* of_bfloat16 = nullptr;
  // For products of numbers of bfloat16: of all tiles of float; pairs where there is an
  // instruction.
  const Tile<Compute, bfloat16>* rounded = nullptr;
  const Tile<Compute, bfloat16_pair, bfloat16_pair>* pairs = nullptr;
};

}  // namespace laminet::kernels
