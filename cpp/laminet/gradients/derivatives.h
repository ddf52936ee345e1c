// Exact derivatives of a network. Samples are rows.
//
//   laminet::Derivatives<float> derivatives(net);      // net must outlive it
//   derivatives.jacobian(x, y, j);                     // one forward pass for both
//
// Everything follows from the layers' Jacobians J_l = D_l W_l, D_l = diag(s_l'(z_l)); that of the
// network is J = J_L ... J_1, with the derivative of the head, if any, on the left. At kinks s' is
// what the table in cpp/README.md says.
//
// Of what they keep, weights packed for W_l (the way back) and, where those of the network are
// pairs of bfloat16, for tangents, each is made when first needed, once, or by prepare(). Any
// number of threads may call at once; each call may use the team of threads besides. Nothing is
// allocated after the first call of a size. With the tiled back end on AVX2 or wider, what belongs
// to a sample has the same bits whatever the batch and the threads. All of it throws
// std::invalid_argument where a shape is wrong.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "laminet/base/made_once.h"
#include "laminet/gradients/phases.h"
#include "laminet/gradients/split.h"
#include "laminet/gradients/tape.h"
#include "laminet/network/mlp.h"

namespace laminet {

// `count` matrices of one shape, `stride` elements apart: the Jacobians of a batch.
template <class T>
struct MatrixStack {
  T* data = nullptr;
  std::size_t count = 0;
  std::size_t rows = 0;
  std::size_t columns = 0;
  std::ptrdiff_t stride = 0;
  std::ptrdiff_t row_stride = 0;
  std::ptrdiff_t column_stride = 1;

  MatrixView<T> operator[](std::size_t i) const {
    return {data + static_cast<std::ptrdiff_t>(i) * stride, rows, columns, row_stride,
            column_stride};
  }
  MatrixStack block(std::size_t first, std::size_t n) const {
    return {(*this)[first].data, n, rows, columns, stride, row_stride, column_stride};
  }
};

// Where parameter gradients go: per layer, in the order of Mlp::layers(), the shape of its weight,
// contiguous rows, and of its bias, contiguous; a bias of null is left out.
template <class T>
struct ParameterGradients {
  std::span<const MatrixView<T>> weights;
  std::span<T* const> biases;
  // Of norms, in the order of Mlp::norms(): pairs of weight and bias, null where left out; none at
  // all where nobody wants them.
  std::span<const std::pair<T*, T*>> norms = {};
  // The same of functions with parameters by unit, in the order of Mlp::units(): alphas and betas.
  std::span<const std::pair<T*, T*>> units = {};
};

// Bytes that copies of a network's weights take for derivatives, besides its own (MlpBytes): packed
// for the way back and, where the network's are pairs of bfloat16, for tangents, where the back end
// is the tiled one.
struct DerivativeBytes {
  std::size_t packed;
};

template <class T>
class Derivatives {
 public:
  explicit Derivatives(const Mlp<T>& net)
      : net_(&net), rule_(jacobian_rule(net.program())), phases_(back_phases(net.program())) {}

  // What the first call of each of the functions below would do for `batch` samples besides its
  // work, as Mlp::prepare, which it includes but for the scratch of forward().
  bool prepare(std::size_t batch) const;

  // Of the copies that there are now, as allocated; and once prepare() has made them.
  DerivativeBytes bytes() const;
  DerivativeBytes bytes_prepared() const;

  // result (B, n_0) = J^T v for each row v of `cotangent` (B, n_L).
  void vjp(ConstMatrixView<T> x, ConstMatrixView<T> cotangent, MatrixView<T> result) const;

  // result (B, n_L) = J u for each row u of `tangent` (B, n_0).
  void jvp(ConstMatrixView<T> x, ConstMatrixView<T> tangent, MatrixView<T> result) const;

  // j = B Jacobians (n_L, n_0); and y (B, n_L) = the outputs, unless y.data is null.
  void jacobian(ConstMatrixView<T> x, MatrixView<T> y, const MatrixStack<T>& j) const;

  // layers[l] = B Jacobians (n_{l+1}, n_l) of layer l, counted from 0; a head is none of them.
  void layer_jacobians(ConstMatrixView<T> x, std::span<const MatrixStack<T>> layers) const;

  // The gradients of sum_i <grad_output_i, y_i> with respect to all parameters, summed over the
  // batch, and to x (B, n_0), unless input.data is null.
  void gradients(ConstMatrixView<T> x, ConstMatrixView<T> grad_output,
                 const ParameterGradients<T>& parameters, MatrixView<T> input) const;

  const Mlp<T>& net() const { return *net_; }
  const JacobianRule& rule() const { return rule_; }

 private:
  // What is packed for the way back, or for tangents.
  struct Packed {
    Prepared<T> prepared;
    std::vector<DenseOperands<T>> steps;
    Operands<T> operands;
  };
  const Operands<T>& operands(std::size_t batch, bool back) const;
  void check_input(ConstMatrixView<T> x) const;
  // Asks for the scratch of a thread that takes the Jacobians of so many samples at once.
  void reserve_jacobian(const Operands<T>& operands, std::size_t samples) const;

  const Mlp<T>* net_;
  JacobianRule rule_;
  std::vector<BackPhase> phases_;
  // Whether tangents need other panels than values.
  bool packs_for_tangents() const;

  mutable MadeOnce<Packed> back_;
  mutable MadeOnce<Packed> tangents_;
};

}  // namespace laminet
