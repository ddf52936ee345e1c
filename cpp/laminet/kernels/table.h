// The kernels of one instruction set, and what they promise to the code above. The contracts of the
// single kernels stand beside their arguments, in a header for each subject.
//
// Kernels allocate nothing, start no threads, keep no state and never throw. Each is compiled once
// per instruction set from the bodies in body/*.inc; dispatch.h says which set runs.
//
// Promise of the same bits (AVX2 and wider): each output has one accumulator, which takes its k
// products in ascending order by fused multiply-add, in every tile and tail, or leaves out some
// that are zero where that cannot be seen (PackedWeights::may_skip_zeros); elementwise functions
// are one formula of correctly rounded operations; sums over a row use a fixed number of partial
// sums whatever the vector width. Of a NaN the place is promised, not its sign or payload. The
// generic set may run without fused multiply-add.
#pragma once

#include <cstddef>
#include <cstdint>

#include "laminet/base/bfloat16.h"
#include "laminet/kernels/activation.h"
#include "laminet/kernels/diagonal.h"
#include "laminet/kernels/elementwise.h"
#include "laminet/kernels/forward.h"
#include "laminet/kernels/losses.h"
#include "laminet/kernels/optimize.h"
#include "laminet/kernels/probe.h"
#include "laminet/kernels/products.h"
#include "laminet/kernels/rows.h"
#include "laminet/kernels/tile.h"

namespace laminet::kernels {

// What one instruction set provides for one element type.
template <class T>
struct Functions {
  // The elements of x that are not zero, and where they stand; returns how many. Both results have
  // room for n; what is past the count is undefined.
  std::size_t (*nonzeros)(const T* x, std::size_t n, T* values, std::uint32_t* places);
  ElementwiseFn<T> activations[kActivationCount];  // by ActivationKind
  ArrayFn<T> elementary[kElementaryCount];         // by Elementary
  RowFn<T> softmax;
  RowFn<T> log_softmax;
  ProbeLoops<T> probe;
  DerivativeFn<T> derivatives[kActivationCount];  // by ActivationKind
  void (*scale_columns)(const ScaleColumnsArgs<T>& args);
  void (*scaled_copy)(const ScaledCopyArgs<T>& args);
  void (*column_sums)(const ColumnSumsArgs<T>& args);
  void (*head_product)(const HeadProductArgs<T>& args);
  GradientTile<T> gradient_tile;
  GradientTile<T> rounded_gradient_tile;  // of the same size
  GatherTile<T> gather_tile;
  void (*rescale)(const RescaleArgs<T>& args);
  void (*sum)(const SumArgs<T>& args);
  void (*gather_columns)(const IndexedColumnsArgs<T>& args);
  void (*scatter_add_columns)(const IndexedColumnsArgs<T>& args);
  void (*norm)(const NormArgs<T>& args);
  void (*norm_pull_back)(const NormProductArgs<T>& args);
  void (*norm_push_forward)(const NormProductArgs<T>& args);
  LossFn<T> losses[kLossCount];  // by LossKind
  void (*sgd)(const SgdArgs<T>& args);
  void (*adam)(const AdamArgs<T>& args);
  void (*average)(const AverageArgs<T>& args);
  T (*sum_of_squares)(const T* x, std::size_t n);
  // Rounded to bfloat16, as to_factor; null of double. In place or not at all.
  void (*to_factors)(const RoundArgs<T, T>& args);
};

// The same with the tiles.
template <class T>
struct Table : Functions<T> {
  const Tile<T>* tiles;  // widest first
  std::size_t tile_count;
  // The same as pairs of bfloat16, an odd last one with 0; null where the tiles have none of these.
  void (*to_pairs)(const RoundArgs<T, bfloat16_pair>& args) = nullptr;
  // Pairs of two rows: y has half as many rows as x, and as many columns.
  void (*to_row_pairs)(const RoundArgs<T, bfloat16_pair>& args) = nullptr;
  const GradientTile<T, bfloat16_pair>* pair_gradient_tile = nullptr;
};

struct InstructionSet {
  const char* name;
  bool (*available)();  // on this CPU, under this operating system
  const Table<float>* f32;
  const Table<double>* f64;

  template <class T>
  const Table<T>& table() const {
    if constexpr (sizeof(T) == sizeof(float)) {
      return *f32;
    } else {
      return *f64;
    }
  }
};

}  // namespace laminet::kernels
