#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "laminet/base/cpu_info.h"
#include "laminet/base/interruption.h"
#include "laminet/base/scratch.h"
#include "laminet/base/types.h"
#include "laminet/gemm/blocking.h"
#include "laminet/gemm/gemm.h"
#include "laminet/kernels/table.h"

namespace laminet {
namespace {

// The tile that takes weights as they are stored.
template <class W, class T>
const kernels::Tile<T, W>& tile_of(const kernels::Tile<T>& tile) {
  if constexpr (std::is_same_v<W, T>) {
    return tile;
  } else {
    return *tile.of_bfloat16;
  }
}

// use(W{}) with the type that the weights are stored in.
template <class T, class Use>
void with_stored(const PackedWeights<T>& w, Use use) {
  if constexpr (std::is_same_v<T, float>) {
    if (w.stored() == Stored::bfloat16) return use(bfloat16{});
  }
  use(T{});
}

// One block of depth of one tile's panels over all rows.
template <class T, class W>
struct Pass {
  const kernels::Tile<T, W>* tile;
  const W* panels;         // the first panel, at this depth
  std::size_t panel_size;  // from one panel to the next
  std::size_t first_column;
  std::size_t columns;  // may end within the last panel
  std::size_t first_depth;
  std::size_t depth;
  bool accumulate;
  bool last_depth;
  const W* next;  // the first panel of the pass that follows, if that is to be fetched meanwhile
  std::size_t next_columns;
};

// Whether a panel is fetched explicitly the first time that it is read.
template <class W>
bool is_large(std::size_t depth, std::size_t nr) {
  return depth * nr * sizeof(W) > cache_sizes().l1 / 2;
}

template <class T>
std::uintptr_t address(const T* p) {
  return reinterpret_cast<std::uintptr_t>(p);
}

// The part of the next pass's panel that lies as `panel` does in its own pass, to be fetched while
// row tile `tile` works: a tile fetches a line a step, a fourth of a panel of 64 columns of float,
// and the first one has its own panel to wait for.
template <class T, class W>
std::uintptr_t fetched_meanwhile(const Pass<T, W>& pass, std::size_t panel, std::size_t tile) {
  const std::size_t nr = pass.tile->nr;
  const std::size_t line = 64 / sizeof(W);
  if (!pass.next || panel * nr >= pass.next_columns) return 0;
  if (tile == 0 || tile * line > nr) return 0;
  return address(pass.next + panel * pass.panel_size) + (tile - 1) * pass.depth * 64;
}

template <class T, class W>
void run(const Pass<T, W>& pass, const ConstMatrixView<T>& x, const T* bias,
         const Activation& activation, const kernels::Table<T>& table, const MatrixView<T>& y) {
  // relu is done by the tile before its only store; the other functions pass over the row tile
  // just stored, which is still in L1.
  const bool relu = activation.kind == ActivationKind::relu;
  const bool apply = pass.last_depth && !relu && activation.kind != ActivationKind::identity;
  const std::size_t nr = pass.tile->nr;
  const bool large = is_large<W>(pass.depth, nr);
  for (std::size_t i = 0; i < x.rows; i += pass.tile->mr) {
    const std::size_t m = std::min(pass.tile->mr, x.rows - i);
    kernels::TileArgs<T, W> args{};
    args.k = pass.depth;
    args.a = x.row(i) + pass.first_depth;
    args.a_stride = x.row_stride;
    args.c_stride = y.row_stride;
    args.accumulate = pass.accumulate;
    args.relu = relu && pass.last_depth;
    args.prefetch = i == 0 && large;
    args.panel = pass.panels;
    std::size_t j = 0;
    if (m == 1) {
      const std::size_t together = pass.tile->row_panels * nr;
      for (; j + together <= pass.columns; j += together) {
        args.n = together;
        args.c = y.row(i) + pass.first_column + j;
        args.bias = bias && pass.last_depth ? bias + pass.first_column + j : nullptr;
        pass.tile->multiply_row(args, pass.panel_size);
        args.panel += pass.tile->row_panels * pass.panel_size;
      }
    }
    for (; j < pass.columns; j += nr, args.panel += pass.panel_size) {
      args.n = std::min(nr, pass.columns - j);
      args.ahead = fetched_meanwhile(pass, j / nr, i / pass.tile->mr);
      // Or the next rows of x, which may come from L3 or memory: 3 % on 2048 rows of
      // 784-256-128-10, 6 % on 4096. A layer of one panel would do little else than fetch.
      const bool last_of_many = j > 0 && j + nr >= pass.columns;
      if (args.ahead == 0 && last_of_many && i + m < x.rows) {
        args.ahead = address(x.row(i + m) + pass.first_depth);
      }
      args.c = y.row(i) + pass.first_column + j;
      args.bias = bias && pass.last_depth ? bias + pass.first_column + j : nullptr;
      pass.tile->multiply(args, m);
    }
    if (apply) {
      const MatrixView<T> done = y.row_block(i, m).column_block(pass.first_column, pass.columns);
      apply_activation<T>(done, nullptr, activation, table, done);
    }
  }
}

// Whether a list of what is not zero promises to pay: a fourth of the first elements are zero.
template <class T>
bool has_many_zeros(const T* x, std::size_t n) {
  const std::size_t seen = std::min<std::size_t>(n, 64);
  std::size_t zeros = 0;
  for (std::size_t i = 0; i < seen; ++i) zeros += x[i] == 0 ? 1 : 0;
  return zeros * 4 >= seen;
}

// One row, without its zeros: what they add is zero, and no bit of the result changes.
template <class T, class W>
void run_listed(const ConstMatrixView<T>& x, const PackedWeights<T>& w, PanelRange panels,
                bool accumulate, const T* bias, const Activation& activation,
                const MatrixView<T>& y) {
  // So many at a time: 8 KiB of stack, of which Python allows threads that have 32 in all.
  constexpr std::size_t kMost = 4096 / sizeof(T);
  T values[kMost];
  std::uint32_t places[kMost + kernels::kStepsAhead];
  const PanelLayout<T>& layout = w.layout();
  for (std::size_t p = 0; p < w.k(); p += kMost) {
    const std::size_t depth = std::min(kMost, w.k() - p);
    const bool last = p + depth == w.k();
    const std::size_t count = w.table().nonzeros(x.data + p, depth, values, places);
    std::fill_n(places + count, kernels::kStepsAhead, count > 0 ? places[count - 1] : 0);
    const auto sweep = [&](const kernels::Tile<T>& own, const W* first_panel, std::size_t first,
                           std::size_t end) {
      const kernels::Tile<T, W>& tile = tile_of<W>(own);
      kernels::TileArgs<T, W> args{};
      args.k = count;
      args.a = values;
      args.steps = places;
      args.panel = first_panel + p * tile.nr;
      args.accumulate = accumulate || p > 0;
      args.relu = last && activation.kind == ActivationKind::relu;
      args.prefetch = is_large<W>(depth, tile.nr);
      const std::size_t together = tile.row_panels * tile.nr;
      for (std::size_t j = first; j < end; j += args.n) {
        args.n = end - j >= together ? together : std::min(tile.nr, end - j);
        args.c = y.data + j;
        args.bias = bias && last ? bias + j : nullptr;
        tile.multiply_listed(args, tile.nr * w.k());
        args.panel += (args.n + tile.nr - 1) / tile.nr * tile.nr * w.k();
      }
    };
    const std::size_t body_last = std::min(panels.last, layout.body_panels);
    const std::size_t body_nr = layout.body->nr;
    if (panels.first < body_last) {
      sweep(*layout.body, w.template panel<W>(panels.first), panels.first * body_nr,
            body_last * body_nr);
    }
    if (panels.last > layout.body_panels) {
      sweep(*layout.tail, w.template panel<W>(layout.body_panels), layout.body_panels * body_nr,
            w.n());
    }
  }
  if (activation.kind != ActivationKind::relu && activation.kind != ActivationKind::identity) {
    const std::size_t first = panels.first * layout.body->nr;
    const std::size_t end = std::min(panels.last * layout.body->nr, w.n());
    const MatrixView<T> done = y.column_block(first, end - first);
    apply_activation<T>(done, nullptr, activation, w.table(), done);
  }
}

}  // namespace

template <class T>
std::array<Sweep<T>, 2> plan_sweeps(const PanelLayout<T>& layout, PanelRange panels,
                                    std::size_t rows, std::size_t depth, const CacheSizes& caches) {
  const auto sweep = [&](const kernels::Tile<T>* tile, std::size_t panel, std::size_t columns) {
    Sweep<T> result{tile, panel, panel * layout.body->nr, columns, {}};
    if (columns > 0) {
      result.blocking =
          choose_blocking(rows, columns, depth, tile->mr, tile->nr, sizeof(T), caches);
    }
    return result;
  };
  const std::size_t last = std::min(panels.last, layout.body_panels);
  const std::size_t body = panels.first < last ? last - panels.first : 0;
  const std::size_t tail = panels.last > layout.body_panels ? layout.tail_columns : 0;
  return {sweep(layout.body, panels.first, body * layout.body->nr),
          sweep(layout.tail, layout.body_panels, tail)};
}

namespace {

template <class T, class W>
void run_all(const ConstMatrixView<T>& x, const PackedWeights<T>& w, TiledOptions options,
             const T* bias, const Activation& activation, const MatrixView<T>& y) {
  const auto [panels, from_memory, accumulate] = options;
  if (x.rows == 1 && bias && w.may_skip_zeros() && has_many_zeros(x.data, w.k())) {
    run_listed<T, W>(x, w, panels, accumulate, bias, activation, y);
    return;
  }
  for (const Sweep<T>& sweep : plan_sweeps(w.layout(), panels, x.rows, w.k(), cache_sizes())) {
    const std::size_t nr = sweep.tile->nr;
    const Blocking& blocking = sweep.blocking;
    const W* const first_panel = w.template panel<W>(sweep.first_panel);
    for (std::size_t j = 0; j < sweep.columns; j += blocking.columns) {
      for (std::size_t p = 0; p < w.k(); p += blocking.depth) {
        const std::size_t depth = std::min(blocking.depth, w.k() - p);
        const W* const start = first_panel + j * w.k() + p * nr;
        const W* next = nullptr;
        std::size_t next_first = j;
        if (from_memory && p + depth < w.k()) {
          next = start + depth * nr;
        } else if (from_memory && j + blocking.columns < sweep.columns) {
          next_first = j + blocking.columns;
          next = first_panel + next_first * w.k();
        }
        const Pass<T, W> pass{
            .tile = &tile_of<W>(*sweep.tile),
            .panels = start,
            .panel_size = nr * w.k(),
            .first_column = sweep.first_column + j,
            .columns = std::min(blocking.columns, sweep.columns - j),
            .first_depth = p,
            .depth = depth,
            .accumulate = accumulate || p > 0,
            .last_depth = p + depth == w.k(),
            .next = next,
            .next_columns = std::min(blocking.columns, sweep.columns - next_first)};
        run(pass, x, bias, activation, w.table(), y);
        interruption_point();
      }
    }
  }
}

}  // namespace

template <class T>
void tiled_layer(const ConstMatrixView<T>& x, const PackedWeights<T>& w, TiledOptions options,
                 const T* bias, const Activation& activation, const MatrixView<T>& y) {
  with_stored(
      w, [&](auto stored) { run_all<T, decltype(stored)>(x, w, options, bias, activation, y); });
}

template <class T>
void tiled_layer(const ConstMatrixView<T>& x, const PackedWeights<T>& w, const T* bias,
                 const Activation& activation, const MatrixView<T>& y) {
  tiled_layer(x, w, TiledOptions{{0, w.layout().panels()}}, bias, activation, y);
}

namespace {

struct GradientRowsPurpose;
struct GradientColumnsPurpose;

// Below it rows are read where they lie, and stay in L1: elements.
constexpr std::size_t kLeastToPack = 16384;

// columns of a row into panels `stride` apart. A width that is constant makes each copy a few
// moves; copy_n would call memmove.
template <class T, class Width>
void pack_row(const T* from, std::size_t columns, Width width, T* to, std::size_t stride) {
  std::size_t j = 0;
  for (; j + width <= columns; j += width, to += stride) {
    std::memcpy(to, from + j, width * sizeof(T));
  }
  if (j == columns) return;
  std::copy(from + j, from + columns, to);
  std::fill(to + (columns - j), to + width, T{0});
}

// use(width) with those of most tiles as constants.
template <class Use>
void with_width(std::size_t width, Use use) {
  switch (width) {
    case 6:
      return use(std::integral_constant<std::size_t, 6>());
    case 8:
      return use(std::integral_constant<std::size_t, 8>());
    case 16:
      return use(std::integral_constant<std::size_t, 16>());
    case 32:
      return use(std::integral_constant<std::size_t, 32>());
    case 64:
      return use(std::integral_constant<std::size_t, 64>());
    default:
      return use(width);
  }
}

// run(i, j) for each tile of c.
template <class T, class Run>
void for_gradient_tiles(const kernels::GradientTile<T>& tile, MatrixView<T> c, Run run) {
  // The first panel touches every page of c, which may be fresh: long for a large one.
  const std::size_t between = 16 * tile.mr;
  for (std::size_t j = 0; j < c.columns; j += tile.nr) {
    for (std::size_t i = 0; i < c.rows; i += tile.mr) {
      if (i % between == 0) interruption_point();
      run(i, j);
    }
  }
}

}  // namespace

template <class T>
void pack_columns(ConstMatrixView<T> from, const ColumnPanels<T>& to, std::size_t first) {
  with_width(to.width, [&](auto width) {
    for (std::size_t i = 0; i < from.rows; ++i) {
      pack_row(from.row(i), from.columns, width, to.data + (first + i) * width, to.stride());
    }
  });
}

template <class T>
void tiled_gradient(const kernels::GradientTile<T>& tile, std::size_t k, const ColumnPanels<T>& a,
                    const ColumnPanels<T>& b, bool accumulate, MatrixView<T> c) {
  for_gradient_tiles(tile, c, [&](std::size_t i, std::size_t j) {
    tile.multiply({.k = k,
                   .a = a.panel(i / tile.mr),
                   .a_stride = static_cast<std::ptrdiff_t>(a.width),
                   .b = b.panel(j / tile.nr),
                   .b_stride = static_cast<std::ptrdiff_t>(b.width),
                   .c = c.row(i) + j,
                   .c_stride = c.row_stride,
                   .n = std::min(tile.nr, c.columns - j),
                   .accumulate = accumulate},
                  std::min(tile.mr, c.rows - i));
  });
}

template <class T>
void tiled_gradient(const kernels::GradientTile<T>& tile, ConstMatrixView<T> a,
                    ConstMatrixView<T> b, bool accumulate, MatrixView<T> c) {
  // Rows that lie far apart come from the right sets of L1 and its TLB too seldom: brought together
  // first, 512 rows of 784 and 256 columns take 2.9 ms instead of 4.5, 128 of 1,024 and 1,024 take
  // 3.6 instead of 8.1 (Zen 3, one core).
  const bool packs = a.rows * (a.columns + b.columns) >= kLeastToPack && c.rows > 4 * tile.mr &&
                     c.columns > 4 * tile.nr;
  if (packs) {
    ColumnPanels<T> rows{nullptr, a.rows, tile.mr};
    ColumnPanels<T> columns{nullptr, b.rows, tile.nr};
    rows.data = thread_scratch<T, GradientRowsPurpose>(rows.size(a.columns));
    columns.data = thread_scratch<T, GradientColumnsPurpose>(columns.size(b.columns));
    pack_columns(a, rows, 0);
    pack_columns(b, columns, 0);
    return tiled_gradient(tile, a.rows, rows, columns, accumulate, c);
  }
  for_gradient_tiles(tile, c, [&](std::size_t i, std::size_t j) {
    tile.multiply({.k = a.rows,
                   .a = a.data + i,
                   .a_stride = a.row_stride,
                   .b = b.data + j,
                   .b_stride = b.row_stride,
                   .c = c.row(i) + j,
                   .c_stride = c.row_stride,
                   .n = std::min(tile.nr, c.columns - j),
                   .accumulate = accumulate},
                  std::min(tile.mr, c.rows - i));
  });
}

#define LAMINET_INSTANTIATE(T)                                                                 \
  template std::array<Sweep<T>, 2> plan_sweeps(const PanelLayout<T>&, PanelRange, std::size_t, \
                                               std::size_t, const CacheSizes&);                \
  template void tiled_layer(const ConstMatrixView<T>&, const PackedWeights<T>&, TiledOptions,  \
                            const T*, const Activation&, const MatrixView<T>&);                \
  template void tiled_layer(const ConstMatrixView<T>&, const PackedWeights<T>&, const T*,      \
                            const Activation&, const MatrixView<T>&);                          \
  template void pack_columns(ConstMatrixView<T>, const ColumnPanels<T>&, std::size_t);         \
  template void tiled_gradient(const kernels::GradientTile<T>&, std::size_t,                   \
                               const ColumnPanels<T>&, const ColumnPanels<T>&, bool,           \
                               MatrixView<T>);                                                 \
  template void tiled_gradient(const kernels::GradientTile<T>&, ConstMatrixView<T>,            \
                               ConstMatrixView<T>, bool, MatrixView<T>);
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet
