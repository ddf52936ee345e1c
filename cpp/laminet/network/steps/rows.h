// What operations share: passes over rows of views.
#pragma once

#include <cstddef>

#include "laminet/base/matrix.h"
#include "laminet/kernels/table.h"

namespace laminet::steps {

// to = from, or to += from; nothing where they are one and the same, or there is no `to`.
// Contiguous rows.
template <class T>
void give(ConstMatrixView<T> from, MatrixView<T> to, bool adds) {
  if (!to.data || (from.data == to.data && !adds)) return;
  for (std::size_t i = 0; i < from.rows; ++i) {
    const T* source = from.row(i);
    T* target = to.row(i);
    if (adds) {
      for (std::size_t j = 0; j < from.columns; ++j) target[j] += source[j];
    } else {
      for (std::size_t j = 0; j < from.columns; ++j) target[j] = source[j];
    }
  }
}

// Row i of g times row (first + i) / repeat of d, element by element: g D, D being the diagonal of
// a sample to which `repeat` rows of g belong. No d (no data) is a diagonal of ones.
template <class T>
void scale_by_diagonal(const kernels::Table<T>& table, MatrixView<T> g, ConstMatrixView<T> d,
                       std::size_t first, std::size_t repeat) {
  if (!d.data) return;
  table.scale_columns({.rows = g.rows,
                       .columns = g.columns,
                       .g = g.data,
                       .g_stride = g.row_stride,
                       .d = d.row(first / repeat),
                       .d_stride = d.row_stride,
                       .first = first % repeat,
                       .repeat = repeat});
}

}  // namespace laminet::steps
