#include "laminet/training/least_squares.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "laminet/base/float_mode.h"
#include "laminet/base/thread_count.h"

namespace laminet {
namespace {

double norm(const double* values, std::size_t count) {
  double sum = 0;
  for (std::size_t i = 0; i < count; ++i) sum += values[i] * values[i];
  return std::sqrt(sum);
}

}  // namespace

LeastSquares::LeastSquares(const Mlp<double>& start, const LeastSquaresOptions& options)
    : options_(options),
      equations_(start),
      count_(equations_.columns().count()),
      numbers_(count_),
      trial_(count_),
      gradient_(count_),
      step_(count_),
      decay_(count_),
      cholesky_(count_) {
  const ParameterColumns& columns = equations_.columns();
  columns.gather(equations_.parameters(), numbers_.data());
  columns.mark_weights(decay_.data(), options_.decay, options_.decay_all ? options_.decay : 0);
}

double LeastSquares::penalty(const double* numbers) const {
  double sum = 0;
  for (std::size_t i = 0; i < count_; ++i) sum += decay_.data()[i] * numbers[i] * numbers[i];
  return sum / 2;
}

const Parameters<double>& LeastSquares::parameters() {
  equations_.load(numbers_.data());
  return equations_.parameters();
}

double LeastSquares::loss(const LeastSquaresSamples& samples) {
  const DefaultFloatMode mode;
  equations_.begin(samples);
  equations_.load(numbers_.data());
  return equations_.loss(samples);
}

LeastSquares::Result LeastSquares::run(const LeastSquaresSamples& samples,
                                       std::span<double> losses) {
  const DefaultFloatMode mode;
  equations_.begin(samples);
  Result result{0, Stopped::no};
  while (result.iterations < losses.size()) {
    result.stopped = iterate(samples, losses[result.iterations]);
    if (result.stopped != Stopped::no) break;
    ++result.iterations;
  }
  return result;
}

// step_ = -(2 J^T J + decay + mu)^-1 gradient; false where that is no such thing.
bool LeastSquares::solve() {
  const ConstMatrixView<double> sums = equations_.sums();
  const MatrixView<double> matrix = cholesky_.matrix();
  for (std::size_t i = 0; i < count_; ++i) {
    const double* const from = sums.row(i);
    double* const to = matrix.row(i);
    for (std::size_t j = i; j < count_; ++j) to[j] = 2 * from[j];
    to[i] += decay_.data()[i] + damping_;
  }
  if (!cholesky_.factor(equations_.table(), num_threads())) return false;
  for (std::size_t i = 0; i < count_; ++i) step_.data()[i] = -gradient_.data()[i];
  cholesky_.solve(step_.data());
  double sum = 0;
  for (std::size_t i = 0; i < count_; ++i) sum += std::abs(step_.data()[i]);
  return std::isfinite(sum);
}

// `loss` is set where it is Stopped::no.
Stopped LeastSquares::iterate(const LeastSquaresSamples& samples, double& loss) {
  double* const numbers = numbers_.data();
  double* const trial = trial_.data();
  equations_.load(numbers);
  const double before = equations_.form(samples) + penalty(numbers);
  if (!std::isfinite(before)) return Stopped::not_finite;
  const ConstMatrixView<double> sums = equations_.sums();
  double slope = 0;
  double largest = 0;
  double all = 0;
  for (std::size_t i = 0; i < count_; ++i) {
    const double g = 2 * sums(i, count_) + decay_.data()[i] * numbers[i];
    gradient_.data()[i] = g;
    slope = std::max(slope, std::abs(g));
    const double diagonal = 2 * sums(i, i) + decay_.data()[i];
    largest = std::max(largest, diagonal);
    all += std::abs(g) + diagonal;
  }
  if (!std::isfinite(all)) return Stopped::not_finite;
  if (slope <= options_.tolerance_gradient) return Stopped::gradient;
  if (damping_ == 0) damping_ = options_.damping * largest;
  const double length = norm(numbers, count_);
  for (;;) {
    if (!(damping_ <= options_.max_damping * largest)) return Stopped::damping;
    if (solve()) {
      const double* const step = step_.data();
      if (norm(step, count_) <= options_.tolerance_change * (length + options_.tolerance_change)) {
        return Stopped::change;
      }
      double foretold = 0;
      for (std::size_t i = 0; i < count_; ++i) {
        trial[i] = numbers[i] + step[i];
        foretold += step[i] * (damping_ * step[i] - gradient_.data()[i]);
      }
      equations_.load(trial);
      const double after = equations_.loss(samples);
      const double gain = (before - (after + penalty(trial))) / (foretold / 2);
      if (gain > 0) {
        std::copy_n(trial, count_, numbers);
        const double miss = 2 * gain - 1;
        // Never 0, from where it could not grow again.
        damping_ = std::max(damping_ * std::max(1.0 / 3.0, 1 - miss * miss * miss),
                            std::numeric_limits<double>::min());
        growth_ = 2;
        loss = after;
        return Stopped::no;
      }
    }
    damping_ *= growth_;
    growth_ *= 2;
  }
}

}  // namespace laminet
