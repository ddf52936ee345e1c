// The kernels of one instruction set, and the contract between them and the code above.
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

#include "laminet/kernels/activation.h"

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
template <class T>
struct TileArgs {
  std::size_t k;
  const T* a;
  std::ptrdiff_t a_stride;
  const T* panel;
  T* c;
  std::ptrdiff_t c_stride;
  std::size_t n;  // 1 .. nr
  const T* bias;
  bool accumulate;
  bool relu;
  bool prefetch;
  std::uintptr_t ahead;
  const std::uint32_t* steps;
};

inline constexpr std::size_t kStepsAhead = 16;

template <class T>
struct Tile {
  std::size_t mr;
  std::size_t nr;
  void (*multiply)(const TileArgs<T>& args, std::size_t m);  // m in 1 .. mr
  // One row times `row_panels` panels, `panel_size` elements apart, n being all their columns: one
  // row of one panel has too few accumulators to keep the multipliers busy.
  std::size_t row_panels;
  void (*multiply_row)(const TileArgs<T>& args, std::size_t panel_size);
  // The same for a row of which only some elements are given, in ascending order, the others being
  // zero: args.steps. Either `row_panels` panels and all their columns, or at most one panel.
  void (*multiply_listed)(const TileArgs<T>& args, std::size_t panel_size);
};

// A matrix of pre-activations z and one of results y, which may be the same: y = s(z + bias).
template <class T>
struct ElementwiseArgs {
  std::size_t rows;
  std::size_t columns;
  const T* z;
  std::ptrdiff_t z_stride;
  T* y;
  std::ptrdiff_t y_stride;
  const T* bias;  // `columns` elements, or null
  double alpha;
  double beta;
};

template <class T>
using ElementwiseFn = void (*)(const ElementwiseArgs<T>& args);

// The same, with the derivative: d = s'(z + bias) and, unless y is null, y = s(z + bias). Either
// may be z.
template <class T>
struct DerivativeArgs {
  std::size_t rows;
  std::size_t columns;
  const T* z;
  std::ptrdiff_t z_stride;
  T* y;
  std::ptrdiff_t y_stride;
  T* d;
  std::ptrdiff_t d_stride;
  const T* bias;  // `columns` elements, or null
  double alpha;
  double beta;
};

template <class T>
using DerivativeFn = void (*)(const DerivativeArgs<T>& args);

// Row i of g, element by element, times row (first + i) / repeat of d; first < repeat.
template <class T>
struct ScaleColumnsArgs {
  std::size_t rows;
  std::size_t columns;
  T* g;
  std::ptrdiff_t g_stride;
  const T* d;
  std::ptrdiff_t d_stride;
  std::size_t first;
  std::size_t repeat;
};

// y = diag(after) (diag(row_scale) w - 1 minus^T) diag(column_scale), each of the four left out
// where it is null.
template <class T>
struct ScaledCopyArgs {
  std::size_t rows;
  std::size_t columns;
  const T* w;
  std::ptrdiff_t w_stride;
  const T* row_scale;     // `rows` elements
  const T* minus;         // `columns` elements
  const T* after;         // `rows` elements
  const T* column_scale;  // `columns` elements
  T* y;
  std::ptrdiff_t y_stride;
};

// The derivative of softmax or log-softmax, given the probabilities p, applied to each row x:
//   softmax               x = p (x - <p, x>), element by element; it is symmetric
//   log_softmax           x = x - <p, x>
//   log_softmax_transpose x = x - p <1, x>
enum class HeadProduct { softmax, log_softmax, log_softmax_transpose };

// Row i of x belongs to row (first + i) / repeat of p; first < repeat.
template <class T>
struct HeadProductArgs {
  HeadProduct product;
  std::size_t rows;
  std::size_t columns;
  T* x;
  std::ptrdiff_t x_stride;
  const T* p;
  std::ptrdiff_t p_stride;
  std::size_t first;
  std::size_t repeat;
};

// sums, of `columns` elements, = the sums over the rows of x, or += them.
template <class T>
struct ColumnSumsArgs {
  std::size_t rows;
  std::size_t columns;
  const T* x;
  std::ptrdiff_t x_stride;
  T* sums;
  bool accumulate;
};

// One register tile of C = A^T B, C being m x n:
//   a           k rows, `a_stride` elements apart, of m elements
//   b           k rows, `b_stride` elements apart, of n elements; nothing outside is read
//   c           m rows of n elements, `c_stride` elements apart
//   accumulate  C += A^T B; the products are summed first, then added
template <class T>
struct GradientTileArgs {
  std::size_t k;
  const T* a;
  std::ptrdiff_t a_stride;
  const T* b;
  std::ptrdiff_t b_stride;
  T* c;
  std::ptrdiff_t c_stride;
  std::size_t n;  // 1 .. nr
  bool accumulate;
};

template <class T>
struct GradientTile {
  std::size_t mr;
  std::size_t nr;
  void (*multiply)(const GradientTileArgs<T>& args, std::size_t m);  // m in 1 .. mr
};

// One register tile of C = A B', C being m x n, B' being those rows of B that are listed:
//   k, offsets  how many, and where each begins, in elements from b
//   a           k times m elements: for each listed row those of A's m rows, side by side
//   b           rows of n elements; nothing outside is read
//   c           m rows of n elements, `c_stride` elements apart
template <class T>
struct GatherTileArgs {
  std::size_t k;
  const T* a;
  const std::ptrdiff_t* offsets;
  const T* b;
  T* c;
  std::ptrdiff_t c_stride;
  std::size_t n;  // 1 .. nr
};

template <class T>
struct GatherTile {
  std::size_t mr;
  std::size_t nr;
  void (*multiply)(const GatherTileArgs<T>& args, std::size_t m);  // m in 1 .. mr
};

// The elementary functions that the activations stand on, exposed so that tests can measure them.
enum class Elementary { exp, expm1, log1p_exp, tanh, sigmoid };
inline constexpr std::size_t kElementaryCount = 5;

// y = f(x) for n contiguous elements.
template <class T>
using ArrayFn = void (*)(const T* x, T* y, std::size_t n);

// Loops that run at one limit of the core each: laminet/probe times them.
template <class T>
struct ProbeLoops {
  std::size_t fma_chains;  // independent multiply-adds of a vector in a round of `fma`
  std::size_t lanes;       // elements of a vector
  T (*fma)(std::size_t rounds);
  T (*dependent_fma)(std::size_t rounds);  // one a round, which waits for that of the round before
  // Reads n elements, a multiple of 1024 bytes, `passes` times.
  T (*read)(const T* data, std::size_t n, std::size_t passes);
};

// Everything that one instruction set provides for one element type.
template <class T>
struct Table {
  const Tile<T>* tiles;  // widest first
  std::size_t tile_count;
  // The elements of x that are not zero, and where they stand; returns how many. Both results have
  // room for n; what is past the count is undefined.
  std::size_t (*nonzeros)(const T* x, std::size_t n, T* values, std::uint32_t* places);
  ElementwiseFn<T> activations[kActivationCount];  // by ActivationKind
  ArrayFn<T> elementary[kElementaryCount];         // by Elementary
  // One row of n >= 1 logits in place: exp(x - max) / sum, or x - max - log(sum).
  void (*softmax)(T* row, std::size_t n);
  void (*log_softmax)(T* row, std::size_t n);
  ProbeLoops<T> probe;
  DerivativeFn<T> derivatives[kActivationCount];  // by ActivationKind
  void (*scale_columns)(const ScaleColumnsArgs<T>& args);
  void (*scaled_copy)(const ScaledCopyArgs<T>& args);
  void (*column_sums)(const ColumnSumsArgs<T>& args);
  void (*head_product)(const HeadProductArgs<T>& args);
  GradientTile<T> gradient_tile;
  GatherTile<T> gather_tile;
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
