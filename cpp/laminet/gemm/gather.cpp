#include "laminet/gemm/gather.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "laminet/base/interruption.h"
#include "laminet/base/scratch.h"
#include "laminet/base/types.h"

namespace laminet {
namespace {

struct GatherPurpose;

// Fewer rows do not use a loaded row of the weights often enough.
constexpr std::size_t kLeastRows = 4;

// Calls use(first row, rows, sample) for the rows of g that belong to each sample.
template <class Use>
void for_samples(std::size_t rows, std::size_t first, std::size_t repeat, Use use) {
  for (std::size_t r = 0; r < rows;) {
    const std::size_t sample = (first + r) / repeat;
    const std::size_t n = std::min(repeat - (first + r) % repeat, rows - r);
    use(r, n, sample);
    r += n;
  }
}

// Calls use(first row, rows) for even groups of at most `most` rows.
template <class Use>
void for_groups(std::size_t rows, std::size_t most, Use use) {
  const std::size_t groups = (rows + most - 1) / most;
  const std::size_t size = (rows + groups - 1) / groups;
  for (std::size_t r = 0; r < rows; r += size) use(r, std::min(size, rows - r));
}

template <class T>
struct GatherScratch {
  T* packed;              // a row for each of g, one for sums
  std::ptrdiff_t* lists;  // for each sample how many rows of W count, then where they are
};

template <class T>
GatherScratch<T> gather_scratch(std::size_t rows, std::size_t samples, std::size_t depth) {
  return {thread_scratch<T, GatherPurpose>(checked_product(rows + 1, depth)),
          thread_scratch<std::ptrdiff_t, GatherPurpose>(checked_product(samples, depth + 1))};
}

// NaN, which 0 times infinity or NaN is, for each row of g that is not finite where its slope is 0:
// it would come into every sum of the row.
template <class T>
void mark_left_out(ConstMatrixView<T> g, const T* slopes, MatrixView<T> out) {
  for (std::size_t i = 0; i < g.rows; ++i) {
    bool finite = true;
    for (std::size_t p = 0; p < g.columns; ++p) {
      finite = finite && (slopes[p] != T{0} || std::isfinite(g(i, p)));
    }
    if (!finite) std::fill_n(out.row(i), out.columns, std::numeric_limits<T>::quiet_NaN());
  }
}

}  // namespace

bool gathers(const Activation& activation, std::size_t repeat) {
  return repeat >= kLeastRows &&
         (activation.kind == ActivationKind::relu || activation.kind == ActivationKind::relu6);
}

template <class T>
void reserve_gather(std::size_t rows, std::size_t depth, std::size_t repeat) {
  const std::size_t samples = (rows + repeat - 1) / repeat + 1;  // the first one's rows may be few
  const GatherScratch<T> scratch = gather_scratch<T>(rows, samples, depth);
  std::fill_n(scratch.packed, (rows + 1) * depth, T{0});
  std::fill_n(scratch.lists, samples * (depth + 1), 0);
}

template <class T>
void gathered_product(ConstMatrixView<T> w, const kernels::Table<T>& table, ConstMatrixView<T> g,
                      ConstMatrixView<T> d, std::size_t first, std::size_t repeat,
                      MatrixView<T> out) {
  const kernels::GatherTile<T>& tile = table.gather_tile;
  const std::size_t depth = g.columns;
  const std::size_t samples = (first + g.rows + repeat - 1) / repeat - first / repeat;
  const auto [packed, lists] = gather_scratch<T>(g.rows, samples, depth);
  T* sums = packed + g.rows * depth;
  bool all_finite = true;  // what is left out of g

  // The columns of g that count, times their slopes, side by side for the rows of a group.
  std::ptrdiff_t* list = lists;
  for_samples(g.rows, first, repeat, [&](std::size_t r, std::size_t n, std::size_t sample) {
    interruption_point();
    const T* slopes = d.row(sample);
    std::ptrdiff_t* found = list + 1;
    std::size_t count = 0;
    // A sum that is finite has no other terms; one that overflows is looked into below.
    table.column_sums({.rows = n,
                       .columns = depth,
                       .x = g.row(r),
                       .x_stride = g.row_stride,
                       .sums = sums,
                       .accumulate = false});
    for (std::size_t p = 0; p < depth; ++p) {
      found[count] = static_cast<std::ptrdiff_t>(p);
      const bool counts = slopes[p] != T{0};  // NaN does
      const bool finite = std::isfinite(sums[p]);
      count += counts;
      all_finite = all_finite & (counts | finite);  // without a branch that depends on the slopes
    }
    list[0] = static_cast<std::ptrdiff_t>(count);
    for_groups(n, tile.mr, [&](std::size_t from, std::size_t m) {
      T* to = packed + (r + from) * depth;
      const T* source = g.row(r + from);
      for (std::size_t c = 0; c < count; ++c, to += m) {
        const T slope = slopes[found[c]];
        const T* column = source + found[c];
        for (std::size_t i = 0; i < m; ++i, column += g.row_stride) to[i] = *column * slope;
      }
    });
    for (std::size_t c = 0; c < count; ++c) found[c] *= w.row_stride;
    list += depth + 1;
  });

  // All samples for a few columns of the weights, which stay in L1.
  for (std::size_t j = 0; j < out.columns; j += tile.nr) {
    interruption_point();
    list = lists;
    for_samples(g.rows, first, repeat, [&](std::size_t r, std::size_t n, std::size_t) {
      for_groups(n, tile.mr, [&](std::size_t from, std::size_t m) {
        tile.multiply({.k = static_cast<std::size_t>(list[0]),
                       .a = packed + (r + from) * depth,
                       .offsets = list + 1,
                       .b = w.data + j,
                       .c = out.row(r + from) + j,
                       .c_stride = out.row_stride,
                       .n = std::min(tile.nr, out.columns - j)},
                      m);
      });
      list += depth + 1;
    });
  }
  if (all_finite) return;
  for_samples(g.rows, first, repeat, [&](std::size_t r, std::size_t n, std::size_t sample) {
    mark_left_out<T>(g.row_block(r, n), d.row(sample), out.row_block(r, n));
  });
}

#define LAMINET_INSTANTIATE(T)                                                                     \
  template void reserve_gather<T>(std::size_t, std::size_t, std::size_t);                          \
  template void gathered_product(ConstMatrixView<T>, const kernels::Table<T>&, ConstMatrixView<T>, \
                                 ConstMatrixView<T>, std::size_t, std::size_t, MatrixView<T>);
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet
