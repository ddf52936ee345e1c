// The register tiles of derivatives: products of which neither operand is packed.
#pragma once

#include <cstddef>

#include "laminet/base/bfloat16.h"

namespace laminet::kernels {

// One register tile of C = A^T B, C being m x n:
//   a           k rows, `a_stride` elements apart, of m elements
//   b           k rows, `b_stride` elements apart, of n elements; nothing outside is read
//   c           m rows of n elements, `c_stride` elements apart
//   accumulate  C += A^T B; the products are summed first, then added
// Products of numbers of bfloat16 are those of tile.h: of `pairs` of rows that follow each other,
// or `rounded`, run in FlushingFloatMode.
template <class T, class Input = T>
struct GradientTileArgs {
  std::size_t k;
  const Input* a;
  std::ptrdiff_t a_stride;
  const Input* b;
  std::ptrdiff_t b_stride;
  T* c;
  std::ptrdiff_t c_stride;
  std::size_t n;  // 1 .. nr
  bool accumulate;
};

template <class T, class Input = T>
struct GradientTile {
  std::size_t mr;
  std::size_t nr;
  // m in 1 .. mr
  void (*multiply)(const GradientTileArgs<T, Input>& args, std::size_t m);
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

}  // namespace laminet::kernels
