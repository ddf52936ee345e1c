#include "laminet/training/cholesky.h"

#include <algorithm>
#include <cmath>

#include "laminet/base/interruption.h"
#include "laminet/base/parallel.h"

namespace laminet {
namespace {

// Rows that are factored one by one: fewer make products too short for the register tile.
constexpr std::size_t kFewRows = 8;

// Below it a second thread costs more than it saves.
constexpr double kLeastFlopsToShare = 1e6;

// Rows of tiles, a multiple of theirs, that stay in L2 while all columns go by.
constexpr std::size_t kKeptRows = 96;

// Columns that one task updates.
constexpr std::size_t kTaskColumns = 48;

}  // namespace

Cholesky::Cholesky(std::size_t rows)
    : rows_(rows),
      // An odd number of cache lines: the rows of a tile then lie in different sets of L1.
      stride_((round_up(rows, 8) / 8 | 1) * 8),
      matrix_(checked_product(rows, stride_)),
      negated_((rows / 2 + kFewRows) * (rows / 2 + kFewRows)) {}

bool Cholesky::factor(const kernels::Table<double>& table, std::size_t threads) {
  table_ = &table;
  threads_ = threads;
  return factor_rows(0, rows_);
}

// Rows `first` to `end` of U, of which those above have been subtracted.
bool Cholesky::factor_rows(std::size_t first, std::size_t end) {
  if (end - first > kFewRows) {
    const std::size_t mid = first + round_up((end - first) / 2, kFewRows);
    if (!factor_rows(first, mid)) return false;
    update(first, mid, end);
    return factor_rows(mid, end);
  }
  for (std::size_t k = first; k < end; ++k) {
    double* const u = row(k);
    if (!(u[k] > 0) || !std::isfinite(u[k])) return false;
    u[k] = std::sqrt(u[k]);
    for (std::size_t j = k + 1; j < rows_; ++j) u[j] /= u[k];
    for (std::size_t i = k + 1; i < end; ++i) {
      double* const to = row(i);
      const double factor = u[i];
      for (std::size_t j = i; j < rows_; ++j) to[j] -= factor * u[j];
    }
  }
  return true;
}

// Rows `mid` to `end` less the products of rows `first` to `mid`: A -= U^T U.
void Cholesky::update(std::size_t first, std::size_t mid, std::size_t end) {
  const kernels::GradientTile<double>& tile = table_->gradient_tile;
  const std::size_t depth = mid - first;
  // -U, by the rows of tiles.
  for (std::size_t i = mid; i < end; i += tile.mr) {
    double* to = negated_.data() + (i - mid) * depth;
    const std::size_t m = std::min(tile.mr, end - i);
    for (std::size_t k = first; k < mid; ++k, to += m) {
      for (std::size_t r = 0; r < m; ++r) to[r] = -row(k)[i + r];
    }
  }
  const auto columns = [&](std::size_t from, std::size_t to) {
    for (std::size_t kept = mid; kept < end; kept += kKeptRows) {
      for (std::size_t j = from; j < to; j += tile.nr) {
        const std::size_t n = std::min(tile.nr, to - j);
        for (std::size_t i = kept; i < std::min({end, kept + kKeptRows, j + n}); i += tile.mr) {
          const std::size_t m = std::min(tile.mr, end - i);
          tile.multiply({.k = depth,
                         .a = negated_.data() + (i - mid) * depth,
                         .a_stride = static_cast<std::ptrdiff_t>(m),
                         .b = row(first) + j,
                         .b_stride = stride(),
                         .c = row(i) + j,
                         .c_stride = stride(),
                         .n = n,
                         .accumulate = true},
                        m);
        }
      }
    }
  };
  const std::size_t width = rows_ - mid;
  const auto columns_here = static_cast<double>(end - mid);
  const double flops = 2.0 * static_cast<double>(depth) * columns_here *
                       (static_cast<double>(width) - columns_here / 2);
  if (threads_ == 1 || flops < kLeastFlopsToShare) {
    interruption_point();
    return columns(mid, rows_);
  }
  const std::size_t tasks = (width + kTaskColumns - 1) / kTaskColumns;
  parallel_for(tasks, [&](std::size_t t) {
    // The widest first: a column has as many rows as stand above its diagonal.
    const std::size_t from = mid + (tasks - 1 - t) * kTaskColumns;
    columns(from, std::min(rows_, from + kTaskColumns));
  });
}

void Cholesky::solve(double* b) const {
  for (std::size_t k = 0; k < rows_; ++k) {
    const double* const u = row(k);
    const double x = b[k] /= u[k];
    for (std::size_t j = k + 1; j < rows_; ++j) b[j] -= x * u[j];
  }
  for (std::size_t k = rows_; k-- > 0;) {
    const double* const u = row(k);
    // Partial sums, so that no addition waits for the one before.
    constexpr std::size_t kSums = 8;
    double sums[kSums] = {};
    std::size_t j = k + 1;
    for (; j + kSums <= rows_; j += kSums) {
      for (std::size_t s = 0; s < kSums; ++s) sums[s] += u[j + s] * b[j + s];
    }
    double sum = 0;
    for (; j < rows_; ++j) sum += u[j] * b[j];
    for (const double part : sums) sum += part;
    b[k] = (b[k] - sum) / u[k];
  }
}

}  // namespace laminet
