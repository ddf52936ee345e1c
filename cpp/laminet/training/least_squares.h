// Levenberg and Marquardt's method: the least squares of small networks by Gauss and Newton's step,
// damped by Nielsen's rule (Madsen, Nielsen, Tingleff, 2004, algorithm 3.16).
//
//   LeastSquares method(net, {.damping = 1e-3});
//   std::array<double, 10> losses;
//   const auto [iterations, stopped] = method.run({x, targets}, losses);   // up to ten of them
//   method.parameters();
//
// In float64: normal equations square the condition of the Jacobian, and float32 has nothing left
// of it. One caller at a time; each call may use the team of threads. The tiled back end, whatever
// is chosen, and no BLAS: the same bits for any number of threads and any instruction set from AVX2
// on. Nothing is allocated after the first iteration with a number of samples.
#pragma once

#include <cstddef>
#include <span>

#include "laminet/base/matrix.h"
#include "laminet/network/mlp.h"
#include "laminet/training/cholesky.h"
#include "laminet/training/normal_equations.h"

namespace laminet {

struct LeastSquaresOptions {
  double damping = 1e-3;             // the first mu, as a part of the largest diagonal element
  double max_damping = 1e10;         // the last one
  double tolerance_gradient = 1e-7;  // of the largest element
  double tolerance_change = 1e-8;    // of a step, as a part of the parameters' norm
  double decay = 0;
  bool decay_all = false;  // biases and norms, too
};

// Why there will be no further iteration.
enum class Stopped {
  no,
  gradient,   // no element of it is larger than the tolerance
  change,     // nor the step
  damping,    // no step makes the loss less
  not_finite  // the loss or a derivative is not
};

class LeastSquares {
 public:
  // Starts from the network's numbers. Throws std::invalid_argument where none of them is trained,
  // or there is a head.
  LeastSquares(const Mlp<double>& start, const LeastSquaresOptions& options);

  struct Result {
    std::size_t iterations;
    Stopped stopped;
  };
  // Up to as many iterations as there is room for losses, which get the loss after each: the mean
  // over the outputs, and that over the samples by their weights, without decay. What an
  // interruption throws comes through; the numbers are then those after the last iteration.
  Result run(const LeastSquaresSamples& samples, std::span<double> losses);
  // The loss as it is now.
  double loss(const LeastSquaresSamples& samples);

  // As they are now, where the network that it started from has its own.
  const Parameters<double>& parameters();
  // mu, and what it is multiplied by when a step fails; 0 and 2 before the first iteration.
  double damping() const { return damping_; }
  double growth() const { return growth_; }

 private:
  Stopped iterate(const LeastSquaresSamples& samples, double& loss);
  bool solve();
  double penalty(const double* numbers) const;

  LeastSquaresOptions options_;
  NormalEquations equations_;
  std::size_t count_;
  AlignedArray<double> numbers_;
  AlignedArray<double> trial_;
  AlignedArray<double> gradient_;
  AlignedArray<double> step_;
  AlignedArray<double> decay_;  // of each number
  Cholesky cholesky_;
  double damping_ = 0;
  double growth_ = 2;
};

}  // namespace laminet
