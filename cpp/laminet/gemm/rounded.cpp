#include "laminet/gemm/rounded.h"

#include <algorithm>

#include "laminet/base/check.h"
#include "laminet/base/scratch.h"
#include "laminet/base/types.h"

namespace laminet {
namespace {

struct RoundedPurpose;
struct PairsPurpose;

// Elements of a row of a copy: rows begin on cache lines.
std::size_t rounded_stride(std::size_t columns) { return round_up(columns, 16); }

template <class E>
MatrixView<E> in_memory(E* memory, std::size_t rows, std::size_t columns) {
  return {memory, rows, columns, static_cast<std::ptrdiff_t>(rounded_stride(columns)), 1};
}

MatrixView<bfloat16_pair> memory_of_pairs(std::size_t rows, std::size_t columns) {
  const std::size_t size = checked_product(rows, rounded_stride(columns));
  return in_memory(thread_scratch<bfloat16_pair, PairsPurpose>(size), rows, columns);
}

template <class T, class Y>
kernels::RoundArgs<T, Y> round_args(const ConstMatrixView<T>& x, const MatrixView<Y>& y) {
  return {.rows = x.rows,
          .columns = x.columns,
          .x = x.data,
          .x_stride = x.row_stride,
          .y = y.data,
          .y_stride = y.row_stride};
}

}  // namespace

template <class T>
ConstMatrixView<T> rounded(ConstMatrixView<T> x, const kernels::Table<T>& table) {
  const std::size_t size = checked_product(x.rows, rounded_stride(x.columns));
  const MatrixView<T> factors =
      in_memory(thread_scratch<T, RoundedPurpose>(size), x.rows, x.columns);
  table.to_factors(round_args(x, factors));
  return factors;
}

MatrixView<bfloat16_pair> pairs_of(ConstMatrixView<float> x, const kernels::Table<float>& table) {
  const MatrixView<bfloat16_pair> pairs = memory_of_pairs(x.rows, (x.columns + 1) / 2);
  table.to_pairs(round_args(x, pairs));
  return pairs;
}

MatrixView<bfloat16_pair> row_pairs_of(ConstMatrixView<float> x,
                                       const kernels::Table<float>& table) {
  const MatrixView<bfloat16_pair> pairs = memory_of_pairs((x.rows + 1) / 2, x.columns);
  table.to_row_pairs(round_args(x, pairs));
  return pairs;
}

template <class T>
void reserve_rounded(std::size_t rows, std::size_t columns) {
  const std::size_t size = checked_product(rows, rounded_stride(columns));
  std::fill_n(thread_scratch<T, RoundedPurpose>(size), size, T{0});
  const std::size_t pairs = checked_product(rows, rounded_stride((columns + 1) / 2));
  std::fill_n(thread_scratch<bfloat16_pair, PairsPurpose>(pairs), pairs, bfloat16_pair{0});
}

#define LAMINET_INSTANTIATE(T)                                \
  template void reserve_rounded<T>(std::size_t, std::size_t); \
  template ConstMatrixView<T> rounded(ConstMatrixView<T>, const kernels::Table<T>&);
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet
