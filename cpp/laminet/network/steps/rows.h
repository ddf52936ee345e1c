// What operations share: passes over rows of views.
#pragma once

#include <algorithm>
#include <cstddef>

#include "laminet/base/matrix.h"
#include "laminet/kernels/table.h"

namespace laminet::steps {

// out = factor (a + b); a alone where b has no data. out may be one of them.
template <class T>
void sum(const kernels::Table<T>& table, ConstMatrixView<T> a, ConstMatrixView<T> b, T factor,
         MatrixView<T> out) {
  table.sum({.rows = a.rows,
             .columns = a.columns,
             .a = a.data,
             .a_stride = a.row_stride,
             .b = b.data,
             .b_stride = b.row_stride,
             .y = out.data,
             .y_stride = out.row_stride,
             .factor = factor});
}

// to = from, or to += from; nothing where they are one and the same, or there is no `to`.
// Contiguous rows.
template <class T>
void give(const kernels::Table<T>& table, ConstMatrixView<T> from, MatrixView<T> to, bool adds) {
  if (!to.data || (from.data == to.data && !adds)) return;
  if (adds) return sum<T>(table, to, from, T{1}, to);
  for (std::size_t i = 0; i < from.rows; ++i) std::copy_n(from.row(i), from.columns, to.row(i));
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
