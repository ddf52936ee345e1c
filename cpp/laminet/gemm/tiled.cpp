#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "laminet/base/cpu_info.h"
#include "laminet/base/float_mode.h"
#include "laminet/base/interruption.h"
#include "laminet/base/types.h"
#include "laminet/gemm/blocking.h"
#include "laminet/gemm/gemm.h"
#include "laminet/gemm/rounded.h"
#include "laminet/kernels/table.h"

namespace laminet {
namespace {

// How weights and x are stored: their types, the tile that takes them, and whether that is one that
// neither adds the bias nor is in the usual mode (Tile::rounded).
template <class T>
struct AsGiven {
  using W = T;
  using Input = T;
  static constexpr bool kRounded = false;
  static const kernels::Tile<T>& tile(const kernels::Tile<T>& tile) { return tile; }
};
struct NarrowWeights {
  using W = bfloat16;
  using Input = float;
  static constexpr bool kRounded = false;
  static const auto& tile(const kernels::Tile<float>& tile) { return *tile.of_bfloat16; }
};
struct Rounded {
  using W = bfloat16;
  using Input = float;
  static constexpr bool kRounded = true;
  static const auto& tile(const kernels::Tile<float>& tile) { return *tile.rounded; }
};
struct Pairs {
  using W = bfloat16_pair;
  using Input = bfloat16_pair;
  static constexpr bool kRounded = false;
  static const auto& tile(const kernels::Tile<float>& tile) { return *tile.pairs; }
};

// One block of depth of one tile's panels over all rows.
template <class T, class Form>
struct Pass {
  using W = typename Form::W;
  const kernels::Tile<T, W, typename Form::Input>* tile;
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
template <class T, class Form>
std::uintptr_t fetched_meanwhile(const Pass<T, Form>& pass, std::size_t panel, std::size_t tile) {
  const std::size_t nr = pass.tile->nr;
  const std::size_t line = 64 / sizeof(typename Form::W);
  if (!pass.next || panel * nr >= pass.next_columns) return 0;
  if (tile == 0 || tile * line > nr) return 0;
  return address(pass.next + panel * pass.panel_size) + (tile - 1) * pass.depth * 64;
}

// The products of a tile's rows from row i on, with all panels of the pass.
template <class T, class Form>
void run_rows(const Pass<T, Form>& pass, const ConstMatrixView<typename Form::Input>& x,
              std::size_t i, const T* bias, bool relu, bool large, const MatrixView<T>& y) {
  const std::size_t nr = pass.tile->nr;
  const std::size_t m = std::min(pass.tile->mr, x.rows - i);
  kernels::TileArgs<T, typename Form::W, typename Form::Input> args{};
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
}

template <class T, class Form>
void run(const Pass<T, Form>& pass, const ConstMatrixView<typename Form::Input>& x, const T* bias,
         const Activation& activation, const kernels::Table<T>& table, const MatrixView<T>& y) {
  // relu is done by the tile before its only store; the other functions pass over the row tile
  // just stored, which is still in L1. So do all where the tile is in another mode than they.
  const bool relu = !Form::kRounded && activation.kind == ActivationKind::relu;
  const T* const tile_bias = Form::kRounded ? nullptr : bias;
  const T* const pass_bias = Form::kRounded && bias ? bias + pass.first_column : nullptr;
  const bool apply =
      pass.last_depth && !relu && (pass_bias || activation.kind != ActivationKind::identity);
  const bool large = is_large<typename Form::W>(pass.depth, pass.tile->nr);
  for (std::size_t i = 0; i < x.rows; i += pass.tile->mr) {
    if constexpr (Form::kRounded) {
      const FlushingFloatMode mode;
      run_rows(pass, x, i, tile_bias, relu, large, y);
    } else {
      run_rows(pass, x, i, tile_bias, relu, large, y);
    }
    if (apply) {
      const std::size_t m = std::min(pass.tile->mr, x.rows - i);
      const MatrixView<T> done = y.row_block(i, m).column_block(pass.first_column, pass.columns);
      apply_activation<T>(done, pass_bias, activation, table, done);
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
template <class T, class Form>
void run_listed(const ConstMatrixView<T>& x, const PackedWeights<T>& w, PanelRange panels,
                bool accumulate, const T* bias, const Activation& activation,
                const MatrixView<T>& y) {
  using W = typename Form::W;
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
      const kernels::Tile<T, W>& tile = Form::tile(own);
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

template <class T, class Form>
void run_all(const ConstMatrixView<typename Form::Input>& x, const PackedWeights<T>& w,
             TiledOptions options, const T* bias, const Activation& activation,
             const MatrixView<T>& y) {
  using W = typename Form::W;
  const auto [panels, from_memory, accumulate, rounds] = options;
  const std::size_t k = w.depth();
  for (const Sweep<T>& sweep : plan_sweeps(w.layout(), panels, x.rows, k, cache_sizes())) {
    const std::size_t nr = sweep.tile->nr;
    const Blocking& blocking = sweep.blocking;
    const W* const first_panel = w.template panel<W>(sweep.first_panel);
    for (std::size_t j = 0; j < sweep.columns; j += blocking.columns) {
      for (std::size_t p = 0; p < k; p += blocking.depth) {
        const std::size_t depth = std::min(blocking.depth, k - p);
        const W* const start = first_panel + j * k + p * nr;
        const W* next = nullptr;
        std::size_t next_first = j;
        if (from_memory && p + depth < k) {
          next = start + depth * nr;
        } else if (from_memory && j + blocking.columns < sweep.columns) {
          next_first = j + blocking.columns;
          next = first_panel + next_first * k;
        }
        const Pass<T, Form> pass{
            .tile = &Form::tile(*sweep.tile),
            .panels = start,
            .panel_size = nr * k,
            .first_column = sweep.first_column + j,
            .columns = std::min(blocking.columns, sweep.columns - j),
            .first_depth = p,
            .depth = depth,
            .accumulate = accumulate || p > 0,
            .last_depth = p + depth == k,
            .next = next,
            .next_columns = std::min(blocking.columns, sweep.columns - next_first)};
        run<T, Form>(pass, x, bias, activation, w.table(), y);
        interruption_point();
      }
    }
  }
}

// The same without the zeros of x, where that pays.
template <class T, class Form>
void run_all_or_listed(const ConstMatrixView<T>& x, const PackedWeights<T>& w, TiledOptions options,
                       const T* bias, const Activation& activation, const MatrixView<T>& y) {
  if (x.rows == 1 && bias && w.may_skip_zeros() && has_many_zeros(x.data, w.k())) {
    run_listed<T, Form>(x, w, options.panels, options.accumulate, bias, activation, y);
    return;
  }
  run_all<T, Form>(x, w, options, bias, activation, y);
}

}  // namespace

template <class T>
void tiled_layer(const ConstMatrixView<T>& x, const PackedWeights<T>& w, TiledOptions options,
                 const T* bias, const Activation& activation, const MatrixView<T>& y) {
  if constexpr (std::is_same_v<T, float>) {
    if (w.stored() == Stored::bfloat16_pairs) {
      return run_all<T, Pairs>(pairs_of(x, w.table()), w, options, bias, activation, y);
    }
    if (w.stored() == Stored::bfloat16) {
      if (options.rounds) {
        return run_all<T, Rounded>(rounded<T>(x, w.table()), w, options, bias, activation, y);
      }
      return run_all_or_listed<T, NarrowWeights>(x, w, options, bias, activation, y);
    }
  }
  run_all_or_listed<T, AsGiven<T>>(x, w, options, bias, activation, y);
}

template <class T>
void tiled_layer(const ConstMatrixView<T>& x, const PackedWeights<T>& w, const T* bias,
                 const Activation& activation, const MatrixView<T>& y) {
  tiled_layer(x, w, TiledOptions{{0, w.layout().panels()}}, bias, activation, y);
}

#define LAMINET_INSTANTIATE(T)                                                                 \
  template std::array<Sweep<T>, 2> plan_sweeps(const PanelLayout<T>&, PanelRange, std::size_t, \
                                               std::size_t, const CacheSizes&);                \
  template void tiled_layer(const ConstMatrixView<T>&, const PackedWeights<T>&, TiledOptions,  \
                            const T*, const Activation&, const MatrixView<T>&);                \
  template void tiled_layer(const ConstMatrixView<T>&, const PackedWeights<T>&, const T*,      \
                            const Activation&, const MatrixView<T>&);
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet
