#include "laminet/training/pair_products.h"

#include <algorithm>

#include "laminet/base/interruption.h"
#include "laminet/base/scratch.h"

namespace laminet {
namespace {

struct PairsPurpose;
struct FewPurpose;

// Pairs that are made at a time: they stay in L2.
constexpr std::size_t kPairs = 96;

std::size_t pairs_of(std::size_t n) { return n * (n + 1) / 2; }

}  // namespace

bool PairProducts::worthwhile(const DenseColumns& layer) {
  const auto inputs = static_cast<double>(pairs_of(layer.inputs()));
  const auto outputs = static_cast<double>(pairs_of(layer.outputs));
  // A pair that is made takes as long as 4 products with it.
  const double pairs = inputs * outputs + 4 * (inputs + outputs);
  const auto columns = static_cast<double>(layer.inputs() * layer.outputs);
  return pairs < 0.4 * columns * columns;
}

PairProducts::Pairs::Pairs(std::size_t n) : numbers(n), count(pairs_of(n)), starts(n) {
  for (std::size_t i = 1; i < n; ++i) starts[i] = starts[i - 1] + n - (i - 1);
}

PairProducts::PairProducts(const DenseColumns& layer, const kernels::Table<double>& table,
                           std::size_t rows)
    : layer_(layer),
      table_(&table),
      rows_(rows),
      few_inputs_(layer.inputs() <= layer.outputs),
      few_(std::min(layer.inputs(), layer.outputs)),
      many_(std::max(layer.inputs(), layer.outputs)),
      few_pairs_(Panels::Shape(table.gradient_tile, rows, few_.count).elements()),
      values_(2 * rows * many_.numbers),
      products_(checked_product(few_.count, many_.count)) {}

// Pairs `begin` to `end`, of values (rows, numbers), which lie by columns, too.
void PairProducts::multiply(const Panels& to, std::size_t begin, std::size_t end,
                            const Pairs& pairs, ConstMatrixView<double> values,
                            const double* columns) const {
  const std::size_t width = to.shape().width;
  const auto after = std::upper_bound(pairs.starts.begin(), pairs.starts.end(), begin);
  auto i = static_cast<std::size_t>(after - pairs.starts.begin()) - 1;
  for (std::size_t at = begin; at < end; ++i) {
    for (std::size_t j = i + (at - pairs.starts[i]); j < pairs.numbers && at < end;) {
      const std::size_t column = at - begin;
      const std::size_t count = std::min({pairs.numbers - j, end - at, width - column % width});
      table_->scaled_copy({.rows = values.rows,
                           .columns = count,
                           .w = values.data + j,
                           .w_stride = values.row_stride,
                           .row_scale = columns + i * rows_,
                           .minus = nullptr,
                           .after = nullptr,
                           .column_scale = nullptr,
                           .y = to.column(column),
                           .y_stride = to.stride()});
      at += count;
      j += count;
    }
  }
}

void PairProducts::fill(const Program& program, const Tape<double>& tape, std::size_t first) {
  const std::size_t rows = tape.samples();
  const MatrixView<double> delta =
      tape.kept()({program.first_kept(layer_.step), layer_.first, layer_.outputs});
  const MatrixView<double> input = tape.values()(layer_.input);
  // By rows at `to`, and by columns at `columns`.
  const auto copy_both = [&](bool inputs, double* to, std::size_t numbers, double* columns) {
    const MatrixView<double>& from = inputs ? input : delta;
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t j = 0; j < numbers; ++j) {
        const double value = j < from.columns ? from.row(i)[j] : 1;
        to[i * numbers + j] = value;
        columns[j * rows_ + i] = value;
      }
    }
  };
  double* const many = values_.data();
  copy_both(!few_inputs_, many + first * many_.numbers, many_.numbers,
            many + rows_ * many_.numbers + first);
  double* const few = thread_scratch<double, FewPurpose>(2 * rows_ * few_.numbers);
  double* const columns = few + rows_ * few_.numbers;
  copy_both(few_inputs_, few, few_.numbers, columns);
  const Panels::Shape shape(table_->gradient_tile, rows_, few_.count);
  multiply(Panels(few_pairs_.data() + first * shape.stride, shape), 0, few_.count, few_,
           dense_view<const double>(few, rows, few_.numbers), columns);
}

void PairProducts::add(std::size_t rows, bool accumulate, const Share& share) {
  const kernels::GradientTile<double>& tile = table_->gradient_tile;
  const Panels few(few_pairs_.data(), Panels::Shape(tile, rows_, few_.count));
  const double* const values = values_.data();
  const Panels::Shape shape(tile, rows_, kPairs);
  const Panels many(thread_scratch<double, PairsPurpose>(shape.elements()), shape);
  for (std::size_t begin = share.part * kPairs; begin < many_.count;
       begin += share.parts * kPairs) {
    interruption_point();
    const std::size_t end = std::min(many_.count, begin + kPairs);
    multiply(many, begin, end, many_, dense_view(values, rows, many_.numbers),
             values + rows_ * many_.numbers);
    const MatrixView<double> to = dense_view(products_.data(), few_.count, many_.count);
    add_product(tile, few, many, rows, accumulate, to.column_block(begin, end - begin));
  }
}

void PairProducts::write(MatrixView<double> sums, const Share& share) const {
  const std::size_t outputs = layer_.outputs;
  const std::size_t weights = layer_.input.count * outputs;
  const std::size_t count = layer_.inputs() * outputs;
  // Input and output of a column.
  const auto place = [&](std::size_t c) {
    const std::size_t in = layer_.input.count;
    if (layer_.by_input || c >= weights) return std::pair(c / outputs, c % outputs);
    return std::pair(c % in, c / in);
  };
  for (std::size_t i = share.part; i < count; i += share.parts) {
    const auto [q, u] = place(i);
    double* const row = sums.row(layer_.column + i) + layer_.column;
    for (std::size_t j = i; j < count; ++j) {
      const auto [p, v] = place(j);
      const std::size_t few = few_inputs_ ? few_(q, p) : few_(u, v);
      const std::size_t many = few_inputs_ ? many_(u, v) : many_(q, p);
      row[j] = products_.data()[few * many_.count + many];
    }
  }
}

}  // namespace laminet
