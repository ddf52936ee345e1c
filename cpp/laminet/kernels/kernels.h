// The kernels of one instruction set, and the contract between them and the code above.
//
// Kernels allocate nothing, start no threads, keep no state and never throw. Each is compiled once
// per instruction set from the bodies in body/*.inc; dispatch.h says which set runs.
//
// Promise of the same bits (AVX2 and wider): each output has one accumulator, which takes its k
// products in ascending order by fused multiply-add, in every tile and tail; elementwise functions
// are one formula of correctly rounded operations; sums over a row use a fixed number of partial
// sums whatever the vector width. The generic set may run without fused multiply-add.
#pragma once

#include <cstddef>

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
};

template <class T>
struct Tile {
  std::size_t mr;
  std::size_t nr;
  void (*multiply)(const TileArgs<T>& args, std::size_t m);  // m in 1 .. mr
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
  ElementwiseFn<T> activations[kActivationCount];  // by ActivationKind
  ArrayFn<T> elementary[kElementaryCount];         // by Elementary
  // One row of n >= 1 logits in place: exp(x - max) / sum, or x - max - log(sum).
  void (*softmax)(T* row, std::size_t n);
  void (*log_softmax)(T* row, std::size_t n);
  ProbeLoops<T> probe;
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
