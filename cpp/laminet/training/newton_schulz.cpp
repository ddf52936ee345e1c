#include "laminet/training/newton_schulz.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "laminet/base/interruption.h"
#include "laminet/base/types.h"

namespace laminet {
namespace {

// Of K. Jordan's post and torch.optim.Muon: the steepest at 0 of those that keep singular values
// near 1.
constexpr double kA = 3.4445;
constexpr double kB = -4.7750;
constexpr double kC = 2.0315;
constexpr double kEps = 1e-7;

// Phases of a group: its weights are gathered and normalised; those of an iteration.
constexpr std::size_t kPhasesBefore = 2;
constexpr std::size_t kPhasesOfIteration = 5;

// Elements of memory that a group has: more weights together meet less often, and leave the cache.
constexpr std::size_t kGroupElements = std::size_t{1} << 21;

// Where one piece of memory ends and the next begins: a cache line of either type.
constexpr std::size_t kAligned = 16;

// Of rows: an odd number of cache lines, which then lie in different sets of L1.
template <class T>
std::size_t stride_of(std::size_t columns) {
  constexpr std::size_t kLine = 64 / sizeof(T);
  return (round_up(columns, kLine) / kLine | 1) * kLine;
}

// In an order that depends on nothing but n.
template <class U>
double sum_of_squares(const U* x, std::size_t n) {
  double sums[4] = {};
  std::size_t i = 0;
  const auto square = [&](std::size_t at) { return static_cast<double>(x[at]) * x[at]; };
  for (; i + 4 <= n; i += 4) {
    for (std::size_t j = 0; j < 4; ++j) sums[j] += square(i + j);
  }
  for (; i < n; ++i) sums[0] += square(i);
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

double scale_of(const Optimizer& optimizer, std::size_t rows, std::size_t columns) {
  const auto m = static_cast<double>(rows);
  const auto n = static_cast<double>(columns);
  return optimizer.match_rms ? 0.2 * std::sqrt(std::max(m, n)) : std::sqrt(std::max(1.0, m / n));
}

}  // namespace

template <class T>
NewtonSchulz<T>::NewtonSchulz(const Optimizer& optimizer, const TrainedNumbers<T>& numbers,
                              const kernels::Table<T>& table)
    : numbers_(numbers),
      table_(table),
      steps_(optimizer.newton_schulz_steps),
      momentum_(static_cast<T>(optimizer.momentum)),
      share_(static_cast<T>(1 - optimizer.momentum)),
      nesterov_(optimizer.nesterov) {
  if (optimizer.kind != Optimizer::Kind::muon) return;
  phases_of_group_ = kPhasesBefore + kPhasesOfIteration * steps_;
  std::size_t used = 0;
  for (std::size_t l = 0; l < numbers.layers().size(); ++l) {
    const auto& layer = numbers.layers()[l];
    if (layer.factor != 0 && layer.outputs > 0 && layer.inputs > 0) add(l, optimizer, used);
  }
}

template <class T>
void NewtonSchulz<T>::add(std::size_t layer, const Optimizer& optimizer, std::size_t& used) {
  const std::size_t outputs = numbers_.layers()[layer].outputs;
  const std::size_t inputs = numbers_.layers()[layer].inputs;
  Weight weight{};
  weight.layer = layer;
  weight.tall = outputs > inputs;
  weight.rows = std::max(outputs, inputs);
  weight.columns = std::min(outputs, inputs);
  weight.scale = scale_of(optimizer, outputs, inputs);
  weight.squares = squares_.size();
  squares_.resize(squares_.size() + weight.rows);

  const std::size_t stride = stride_of<T>(weight.columns);
  const kernels::GradientTile<T>& tile = table_.gradient_tile;
  const auto place = [&](std::size_t& start) {
    std::size_t at = start;
    const auto take = [&](std::size_t size) {
      const std::size_t begin = at;
      at += round_up(size, kAligned);
      return begin;
    };
    for (std::size_t& y : weight.y) y = take(checked_product(weight.rows, stride));
    weight.gram = take(weight.columns * stride);
    weight.factor = take(weight.columns * stride);
    weight.packed = take(packed_size<T>(weight.columns, weight.columns, table_));
    weight.left = take(ColumnPanels<T>{nullptr, weight.rows, tile.mr}.size(weight.columns));
    weight.right = take(ColumnPanels<T>{nullptr, weight.rows, tile.nr}.size(weight.columns));
    start = at;
  };
  std::size_t end = used;
  place(end);
  if (groups_.empty() || end > kGroupElements) {
    groups_.push_back({weights_.size(), 0});
    end = 0;
    place(end);
  }
  ++groups_.back().count;
  used = end;
  size_ = std::max(size_, used);
  weights_.push_back(weight);
  const auto n = static_cast<double>(weight.columns);
  // G and its square are symmetric, and half of each is made.
  flops_ += static_cast<double>(steps_) * n * n * (3 * static_cast<double>(weight.rows) + n);
}

template <class T>
void NewtonSchulz<T>::prepare() {
  if (packed_.size() == weights_.size()) return;
  HugePageArray<T> memory(size_);
  HugePageArray<T> updates(numbers_.size());
  for (HugePageArray<T>* const one : {&memory, &updates}) {
    if (!one->zeroed()) std::fill_n(one->data(), one->size(), T{0});
  }
  memory_ = std::move(memory);
  updates_ = std::move(updates);
  std::vector<PackedWeights<T>> packed;
  packed.reserve(weights_.size());
  for (const Weight& weight : weights_) {
    packed.emplace_back(matrix(weight.factor, weight.columns, weight.columns), table_,
                        memory_.data() + weight.packed, nullptr);
  }
  packed_ = std::move(packed);
}

template <class T>
MatrixView<T> NewtonSchulz<T>::matrix(std::size_t start, std::size_t rows, std::size_t columns) {
  return {memory_.data() + start, rows, columns, static_cast<std::ptrdiff_t>(stride_of<T>(columns)),
          1};
}

template <class T>
typename NewtonSchulz<T>::Columns NewtonSchulz<T>::columns_of(const Weight& weight) {
  const kernels::GradientTile<T>& tile = table_.gradient_tile;
  return {{memory_.data() + weight.left, weight.rows, tile.mr},
          {memory_.data() + weight.right, weight.rows, tile.nr}};
}

template <class T>
void NewtonSchulz<T>::run(std::size_t phase, std::size_t part, std::size_t parts, T* gradients,
                          T scale, const T* momentum) {
  const Group& group = groups_[phase / phases_of_group_];
  const std::size_t own = phase % phases_of_group_;
  for (std::size_t i = group.first; i < group.first + group.count; ++i) {
    const Weight& weight = weights_[i];
    const RowRange rows = share_of_rows(weight.rows, parts, part);
    if (own == 0) {
      gather(weight, rows, gradients, scale, momentum);
    } else if (own == 1) {
      normalize(weight, rows);
    } else {
      iterate(weight, (own - kPhasesBefore) / kPhasesOfIteration,
              (own - kPhasesBefore) % kPhasesOfIteration, part, parts);
    }
  }
}

template <class T>
template <class Use>
void NewtonSchulz<T>::for_runs(const Weight& weight, T* memory, MatrixView<T> y, RowRange rows,
                               Use use) const {
  const std::size_t end = rows.first + rows.count;
  numbers_.for_panels(weight.layer, memory, [&](MatrixView<T> panel, std::size_t first) {
    if (!weight.tall) {
      for (std::size_t i = rows.first; i < end; ++i) {
        use(&panel(0, i), panel.row_stride, y.row(i) + first, panel.rows);
      }
      return;
    }
    const std::size_t last = std::min(end, first + panel.rows);
    for (std::size_t o = std::max(rows.first, first); o < last; ++o) {
      use(&panel(o - first, 0), panel.column_stride, y.row(o), panel.columns);
    }
  });
}

template <class T>
void NewtonSchulz<T>::gather(const Weight& weight, RowRange own, T* gradients, T scale,
                             const T* momentum) {
  const MatrixView<T> y = matrix(weight.y[0], weight.rows, weight.columns);
  for_runs(weight, gradients, y, own, [&](T* g, std::ptrdiff_t stride, T* to, std::size_t n) {
    const T* old = momentum + (g - gradients);
    for (std::size_t i = 0; i < n; ++i, g += stride, old += stride) {
      const T gradient = scale * *g;
      *g = *old + share_ * (gradient - *old);
      to[i] = nesterov_ ? gradient + momentum_ * (*g - gradient) : *g;
    }
  });
  for (std::size_t i = own.first; i < own.first + own.count; ++i) {
    squares_[weight.squares + i] = sum_of_squares(y.row(i), y.columns);
  }
}

template <class T>
void NewtonSchulz<T>::normalize(const Weight& weight, RowRange own) {
  double sum = 0;
  for (std::size_t i = 0; i < weight.rows; ++i) sum += squares_[weight.squares + i];
  const double norm = std::sqrt(sum);
  // In double: the inverse of a norm may be less than the least number of T.
  const double inverse = 1 / (norm < kEps ? kEps : norm);
  const MatrixView<T> y =
      matrix(weight.y[0], weight.rows, weight.columns).row_block(own.first, own.count);
  for (std::size_t i = 0; i < own.count; ++i) {
    for (std::size_t j = 0; j < y.columns; ++j) {
      y(i, j) = static_cast<T>(static_cast<double>(y(i, j)) * inverse);
    }
  }
  const Columns columns = columns_of(weight);
  pack_columns<T>(y, columns.left, own.first);
  pack_columns<T>(y, columns.right, own.first);
}

template <class T>
void NewtonSchulz<T>::iterate(const Weight& weight, std::size_t iteration, std::size_t phase,
                              std::size_t part, std::size_t parts) {
  const std::size_t n = weight.columns;
  const MatrixView<T> gram = matrix(weight.gram, n, n);
  switch (phase) {
    case 0:
      return symmetric_product(columns_of(weight), weight.rows, gram, part, parts,
                               [](RowRange, RowRange) {});
    case 1:
      return mirror(weight, share_of_rows(n, parts, part));
    case 2: {
      const MatrixView<T> factor = matrix(weight.factor, n, n);
      return symmetric_product(
          columns_of(weight), n, factor, part, parts, [&](RowRange rows, RowRange columns) {
            const std::size_t end = columns.first + columns.count;
            for (std::size_t i = rows.first; i < rows.first + rows.count; ++i) {
              for (std::size_t j = columns.first; j < end; ++j) {
                factor(i, j) = static_cast<T>(kB) * gram(i, j) + static_cast<T>(kC) * factor(i, j);
              }
              if (columns.first <= i && i < end) factor(i, i) += static_cast<T>(kA);
            }
          });
    }
    case 3: {
      const RowRange own = share_of_rows(packed_of(weight).layout().panels(), parts, part);
      return pack_factor(weight, {own.first, own.first + own.count});
    }
    default: {
      const RowRange own = share_of_rows(weight.rows, parts, part);
      if (own.count == 0) return;
      const MatrixView<T> y =
          matrix(weight.y[(iteration + 1) % 2], weight.rows, n).row_block(own.first, own.count);
      tiled_layer<T>(
          matrix(weight.y[iteration % 2], weight.rows, n).row_block(own.first, own.count),
          packed_of(weight), nullptr, {}, y);
      if (iteration + 1 == steps_) return scatter(weight, own);
      const Columns columns = columns_of(weight);
      pack_columns<T>(y, columns.left, own.first);
      pack_columns<T>(y, columns.right, own.first);
    }
  }
}

template <class T>
template <class Done>
void NewtonSchulz<T>::symmetric_product(const Columns& x, std::size_t k, MatrixView<T> c,
                                        std::size_t part, std::size_t parts, Done done) const {
  const kernels::GradientTile<T>& tile = table_.gradient_tile;
  const std::size_t n = c.rows;
  // Rows of tiles that end below a column of them have none.
  const auto tiles_of = [&](std::size_t j) {
    return (std::min(n, j + tile.nr) + tile.mr - 1) / tile.mr;
  };
  std::size_t all = 0;
  for (std::size_t j = 0; j < n; j += tile.nr) all += tiles_of(j);
  const RowRange own = share_of_rows(all, parts, part);
  std::size_t before = 0;
  for (std::size_t j = 0; j < n; before += tiles_of(j), j += tile.nr) {
    const std::size_t first = std::max(own.first, before);
    const std::size_t last = std::min(own.first + own.count, before + tiles_of(j));
    const std::size_t columns = std::min(tile.nr, n - j);
    interruption_point();
    for (std::size_t t = first; t < last; ++t) {
      const std::size_t i = (t - before) * tile.mr;
      const std::size_t rows = std::min(tile.mr, n - i);
      tile.multiply({.k = k,
                     .a = x.left.panel(t - before),
                     .a_stride = static_cast<std::ptrdiff_t>(tile.mr),
                     .b = x.right.panel(j / tile.nr),
                     .b_stride = static_cast<std::ptrdiff_t>(tile.nr),
                     .c = c.row(i) + j,
                     .c_stride = c.row_stride,
                     .n = columns,
                     .accumulate = false},
                    rows);
      done({i, rows}, {j, columns});
    }
  }
}

// The half of G below the diagonal, by rows, and its columns for the product with itself.
template <class T>
void NewtonSchulz<T>::mirror(const Weight& weight, RowRange own) {
  const MatrixView<T> gram = matrix(weight.gram, weight.columns, weight.columns);
  const std::size_t end = own.first + own.count;
  for (std::size_t i = own.first; i < end; ++i) {
    for (std::size_t j = 0; j < i; ++j) gram(i, j) = gram(j, i);
  }
  const Columns columns = columns_of(weight);
  const MatrixView<T> rows = gram.row_block(own.first, own.count);
  pack_columns<T>(rows, columns.left, own.first);
  pack_columns<T>(rows, columns.right, own.first);
}

// The factor is symmetric, too, and half of it there.
template <class T>
void NewtonSchulz<T>::pack_factor(const Weight& weight, PanelRange own) {
  const std::size_t n = weight.columns;
  const MatrixView<T> factor = matrix(weight.factor, n, n);
  PackedWeights<T>& packed = packed_of(weight);
  const PanelLayout<T>& layout = packed.layout();
  for (std::size_t p = own.first; p < own.last; ++p) {
    const std::size_t nr = p < layout.body_panels ? layout.body->nr : layout.tail->nr;
    const std::size_t first = p * layout.body->nr;
    const std::size_t count = std::min(nr, n - first);
    T* const panel = packed.change_panel(p);
    const std::size_t above = std::min(first, n);
    for (std::size_t k = 0; k < above; ++k) {
      std::copy_n(factor.row(k) + first, count, panel + k * nr);
    }
    for (std::size_t j = 0; j < count; ++j) {
      for (std::size_t k = above; k < n; ++k) {
        panel[k * nr + j] = k < first + j ? factor(k, first + j) : factor(first + j, k);
      }
    }
  }
}

template <class T>
void NewtonSchulz<T>::scatter(const Weight& weight, RowRange own) {
  const T scale = static_cast<T>(weight.scale);
  const MatrixView<T> y = matrix(weight.y[steps_ % 2], weight.rows, weight.columns);
  for_runs(weight, updates_.data(), y, own,
           [&](T* to, std::ptrdiff_t stride, const T* from, std::size_t n) {
             for (std::size_t i = 0; i < n; ++i, to += stride) *to = scale * from[i];
           });
}

#define LAMINET_INSTANTIATE(T) template class NewtonSchulz<T>;
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet
