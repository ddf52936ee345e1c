#include "laminet/gemm/pack.h"

#include <algorithm>
#include <cmath>

#include "laminet/base/interruption.h"
#include "laminet/base/scratch.h"
#include "laminet/base/types.h"
#include "laminet/gemm/rounded.h"
#include "laminet/kernels/table.h"

namespace laminet {
namespace {

struct HalvesPurpose;

bool is_finite(float x) { return std::isfinite(x); }
bool is_finite(double x) { return std::isfinite(x); }
bool is_finite(bfloat16 x) { return std::isfinite(widened(x)); }
bool is_finite(bfloat16_pair x) {
  return is_finite(bfloat16{static_cast<std::uint16_t>(x.bits >> 16)}) &&
         is_finite(bfloat16{static_cast<std::uint16_t>(x.bits)});
}

template <class T>
void copy_stored(ConstMatrixView<T> from, MatrixView<T> to) {
  copy<T>(from, to);
}
template <class T>
void copy_stored(ConstMatrixView<T> from, MatrixView<bfloat16> to) {
  for (std::size_t i = 0; i < from.rows; ++i) {
    for (std::size_t j = 0; j < from.columns; ++j) {
      to.row(i)[j] = to_bfloat16(static_cast<float>(from(i, j)));
    }
  }
}
template <class T>
void copy_stored(ConstMatrixView<T> from, MatrixView<bfloat16_pair> to) {
  constexpr bfloat16 kNegativeZero{0x8000};
  for (std::size_t i = 0; i < to.rows; ++i) {
    for (std::size_t j = 0; j < to.columns; ++j) {
      const auto half = [&](std::size_t p) { return to_bfloat16(static_cast<float>(from(p, j))); };
      const bool whole = 2 * i + 1 < from.rows;
      to.row(i)[j] = pair_of(half(2 * i), whole ? half(2 * i + 1) : kNegativeZero);
    }
  }
}

// Products between two interruption points, an even number: a few milliseconds where memory is
// slow.
constexpr std::size_t kBlockDepth = 4096;

}  // namespace

template <class T>
PanelLayout<T>::PanelLayout(std::size_t n, const kernels::Table<T>& table)
    : body_panels(n / table.tiles[0].nr),
      tail_columns(n % table.tiles[0].nr),
      body(&table.tiles[0]),
      tail(&table.tiles[0]) {
  for (std::size_t i = 1; i < table.tile_count; ++i) {
    if (table.tiles[i].nr >= tail_columns) tail = &table.tiles[i];
  }
}

template <class T>
PanelRange PanelLayout<T>::share(std::size_t parts, std::size_t part) const {
  const auto boundary = [&](std::size_t i) {
    if (i >= parts) return panels();
    const std::size_t column = padded_columns() * i / parts;
    return std::min(body_panels, (column + body->nr / 2) / body->nr);
  };
  return {boundary(part), boundary(part + 1)};
}

template <class T>
std::size_t packed_size(std::size_t n, std::size_t k, const kernels::Table<T>& table,
                        Stored stored) {
  return checked_product(PanelLayout<T>(n, table).padded_columns(), panel_depth(k, stored));
}

template <class T>
PackedWeights<T>::PackedWeights(ConstMatrixView<T> w, const kernels::Table<T>& table)
    : n_(w.rows),
      k_(w.columns),
      table_(&table),
      layout_(w.rows, table),
      owned_(packed_size(w.rows, w.columns, table)),
      data_(owned_.data()) {
  pack(w, owned_.data(), [](const T*, std::size_t) {});
}

template <class T>
PackedWeights<T>::PackedWeights(ConstMatrixView<T> w, const kernels::Table<T>& table, T* storage,
                                const T* bias)
    : n_(w.rows), k_(w.columns), table_(&table), layout_(w.rows, table), data_(storage) {
  repack(w, bias);
}

template <class T>
PackedWeights<T>::PackedWeights(ConstMatrixView<T> w, const kernels::Table<T>& table,
                                bfloat16* storage, const T* bias)
    : n_(w.rows), k_(w.columns), table_(&table), layout_(w.rows, table), halves_(storage) {
  pack_with(w, halves_, bias);
}

template <class T>
PackedWeights<T>::PackedWeights(ConstMatrixView<T> w, const kernels::Table<T>& table,
                                bfloat16_pair* storage, const T* bias)
    : n_(w.rows), k_(w.columns), table_(&table), layout_(w.rows, table), pairs_(storage) {
  pack_with(w, pairs_, bias);
}

template <class T>
void PackedWeights<T>::repack(ConstMatrixView<T> w, const T* bias) {
  pack_with(w, data_, bias);
}

template <class T>
template <class W>
void PackedWeights<T>::pack_with(ConstMatrixView<T> w, W* out, const T* bias) {
  finite_ = true;
  pack(w, out, [this](const W* packed, std::size_t size) {
    finite_ = finite_ && std::all_of(packed, packed + size, [](W v) { return is_finite(v); });
  });
  may_skip_zeros_ = bias && finite_ &&
                    std::none_of(bias, bias + n_, [](T v) { return v == 0 && std::signbit(v); });
}

namespace {

// to = from^T, contiguous rows of both: by squares, of which both sides lie in a few cache lines.
// Of 256 by 128 in panels 20 us, element by element 160 (Zen 3).
template <class T>
void transpose(ConstMatrixView<T> from, MatrixView<T> to) {
  constexpr std::size_t kSide = 8;
  std::size_t i = 0;
  for (; i + kSide <= from.rows; i += kSide) {
    std::size_t j = 0;
    for (; j + kSide <= from.columns; j += kSide) {
      for (std::size_t b = 0; b < kSide; ++b) {
        T* const row = to.row(j + b) + i;
        for (std::size_t a = 0; a < kSide; ++a) row[a] = from.row(i + a)[j + b];
      }
    }
    for (; j < from.columns; ++j) {
      for (std::size_t a = 0; a < kSide; ++a) to.row(j)[i + a] = from.row(i + a)[j];
    }
  }
  for (; i < from.rows; ++i) {
    for (std::size_t j = 0; j < from.columns; ++j) to.row(j)[i] = from.row(i)[j];
  }
}

}  // namespace

template <class T>
template <class W>
void PackedWeights<T>::put(ConstMatrixView<W> w, W* panels, std::size_t output, std::size_t first) {
  for (std::size_t i = 0; i < w.rows;) {
    const std::size_t panel = std::min((output + i) / layout_.body->nr, layout_.body_panels);
    const std::size_t nr = panel < layout_.body_panels ? layout_.body->nr : layout_.tail->nr;
    const std::size_t from = output + i - panel * layout_.body->nr;
    const std::size_t count = std::min(nr - from, w.rows - i);
    const MatrixView<W> to = dense_view(panels + offset(panel) + first * nr, w.columns, nr);
    transpose<W>(w.row_block(i, count), to.column_block(from, count));
    i += count;
  }
}

template <class T>
void PackedWeights<T>::repack(ConstMatrixView<T> w, std::size_t output, std::size_t first) {
  if constexpr (std::is_same_v<T, float>) {
    if (pairs_) {
      const MatrixView<bfloat16_pair> pairs = pairs_of(w, *table_);
      for (std::size_t i = 0; w.columns % 2 > 0 && i < pairs.rows; ++i) {
        bfloat16_pair& odd = pairs.row(i)[pairs.columns - 1];
        odd = as_right_factor(odd);
      }
      return put<bfloat16_pair>(pairs, pairs_, output, first / 2);
    }
    if (halves_) {
      bfloat16* const memory = thread_scratch<bfloat16, HalvesPurpose>(w.rows * w.columns);
      const MatrixView<bfloat16> halves = dense_view(memory, w.rows, w.columns);
      copy_stored(rounded<T>(w, *table_), halves);
      return put<bfloat16>(halves, halves_, output, first);
    }
  }
  put<T>(w, data_, output, first);
}

template <class T>
void PackedWeights<T>::reserve_repack(std::size_t rows, std::size_t columns) {
  reserve_rounded<T>(rows, columns);
  thread_scratch<bfloat16, HalvesPurpose>(rows * columns);
}

template <class T>
void PackedWeights<T>::repack_panel(ConstMatrixView<T> w, std::size_t panel, std::size_t first) {
  if constexpr (std::is_same_v<T, float>) {
    if (halves_) {
      const MatrixView<bfloat16> to =
          dense_view(halves_ + offset(panel) + first * w.columns, w.rows, w.columns);
      return copy_stored(rounded<T>(w, *table_), to);
    }
    bfloat16_pair* const to = pairs_ + offset(panel) + first / 2 * w.columns;
    table_->to_row_pairs({.rows = w.rows,
                          .columns = w.columns,
                          .x = w.data,
                          .x_stride = w.row_stride,
                          .y = to,
                          .y_stride = static_cast<std::ptrdiff_t>(w.columns)});
    if (w.rows % 2 == 0) return;
    bfloat16_pair* const odd = to + w.rows / 2 * w.columns;
    std::transform(odd, odd + w.columns, odd, as_right_factor);
  }
}

template <class T>
template <class W, class Block>
void PackedWeights<T>::pack(ConstMatrixView<T> w, W* out, Block block) const {
  for (std::size_t first = 0; first < n_; first += layout_.body->nr) {
    const bool body = n_ - first >= layout_.body->nr;
    const std::size_t nr = body ? layout_.body->nr : layout_.tail->nr;
    const std::size_t columns = std::min(nr, n_ - first);
    const ConstMatrixView<T> rows{w.row(first), k_, columns, w.column_stride, w.row_stride};
    for (std::size_t p = 0; p < k_; p += kBlockDepth) {
      interruption_point();
      const std::size_t given = std::min(kBlockDepth, k_ - p);
      const std::size_t depth = panel_depth(given, stored());
      const MatrixView<W> panel = dense_view(out, depth, nr);
      copy_stored<T>(rows.row_block(p, given), panel.column_block(0, columns));
      for (std::size_t i = 0; i < depth; ++i) {
        std::fill(panel.row(i) + columns, panel.row(i) + nr, W{0});
      }
      block(out, depth * nr);
      out += depth * nr;
    }
  }
}

#define LAMINET_INSTANTIATE(T)     \
  template struct PanelLayout<T>;  \
  template class PackedWeights<T>; \
  template std::size_t packed_size(std::size_t, std::size_t, const kernels::Table<T>&, Stored);
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet
