// Rows of a packed panel, whatever its weights are stored as.
#pragma once

#include <algorithm>
#include <cstddef>

#include "laminet/base/bfloat16.h"
#include "laminet/base/matrix.h"
#include "laminet/gemm/blocking.h"
#include "laminet/gemm/pack.h"

namespace laminet {

// Of the first columns, as many as `place` has: where they lie, or widened into `place`.
template <class T>
ConstMatrixView<T> panel_rows(const PackedWeights<T>& weights, std::size_t panel, RowRange rows,
                              MatrixView<T> place) {
  const PanelLayout<T>& layout = weights.layout();
  const std::size_t nr = panel < layout.body_panels ? layout.body->nr : layout.tail->nr;
  const std::size_t start = rows.first * nr;
  if (weights.stored() == Stored::as_given) {
    return dense_view(weights.panel(panel) + start, rows.count, nr).column_block(0, place.columns);
  }
  const bfloat16* from = weights.template panel<bfloat16>(panel) + start;
  for (std::size_t i = 0; i < rows.count; ++i, from += nr) {
    std::transform(from, from + place.columns, place.row(i),
                   [](bfloat16 w) { return static_cast<T>(widened(w)); });
  }
  return place;
}

}  // namespace laminet
