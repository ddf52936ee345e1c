// The operations that a network is made of, without their numbers: what a step of a program does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <variant>
#include <vector>

#include "laminet/kernels/activation.h"
#include "laminet/network/head.h"
#include "laminet/network/origin.h"

namespace laminet {

// Some columns of a buffer.
struct Columns {
  std::size_t buffer = 0;
  std::size_t first = 0;
  std::size_t count = 0;

  friend bool operator==(const Columns&, const Columns&) = default;
};

// A matrix among the parameters, in elements from their beginning; of no rows where there is none.
struct ParameterBlock {
  std::size_t start = 0;
  std::size_t rows = 0;
  std::size_t columns = 0;

  std::size_t size() const { return rows * columns; }
};

// The parameters of an activation, one for each unit, in place of the function's own; of no rows
// where it has none.
struct UnitParameters {
  ParameterBlock alphas;
  ParameterBlock betas;

  bool any() const { return alphas.rows + betas.rows > 0; }
  std::size_t size() const { return alphas.size() + betas.size(); }
};

// What a weight does with a sample: a multiplication and an addition.
inline constexpr std::size_t kFlopsOfWeight = 2;

// out = s(in W^T + b), or s(in W^T + b + add). `groups` products of one shape stand side by side:
// the g-th reads the g-th part of the columns of in and gives that of out.
//   inputs  in (groups in_features), and add, of the shape of out, where there is one
struct DenseStep {
  std::size_t in_features;
  std::size_t out_features;
  std::size_t groups;
  Activation activation;
  UnitParameters units;
  ParameterBlock weight;  // (groups out_features, in_features)
  ParameterBlock bias;    // (1, groups out_features)

  // Of one sample's product.
  std::size_t flops() const { return kFlopsOfWeight * weight.size(); }
};

// out = s(in).
struct ActivationStep {
  Activation activation;
  UnitParameters units;
};

// out = clip(scale in + shift, low, high), the four of them by column.
struct RescaleStep {
  ParameterBlock scale;
  ParameterBlock shift;
  ParameterBlock low;  // of no rows where it does not clip
  ParameterBlock high;
};

// LayerNorm of each row (center) or RMSNorm, of each of `groups` equal parts of the columns:
// normalized weight + bias.
struct NormStep {
  bool center;
  double eps;
  std::size_t groups;
  ParameterBlock weight;  // (1, columns), or of no rows
  ParameterBlock bias;
};

// out = some columns of in, in any order.
struct SelectStep {
  std::vector<std::uint32_t> columns;
};

// out = softmax or log-softmax of each row of in.
struct SoftmaxStep {
  Head kind;
};

// out = in.
struct CopyStep {};

// out = in, but in training, where each element of it is 0 with the probability `rate`, or else
// divided by 1 - rate: by masks (training/dropout.h) that lie where the step keeps what it keeps.
struct DropoutStep {
  double rate;
};

// out = factor (the sum of the inputs, added from the first to the last).
struct SumStep {
  double factor = 1.0;
};

using Operation = std::variant<DenseStep, ActivationStep, RescaleStep, NormStep, SoftmaxStep,
                               SelectStep, CopyStep, DropoutStep, SumStep>;

// Those of its function; null where it has none that could be of each unit.
inline const UnitParameters* units_of(const Operation& operation) {
  if (const auto* const dense = std::get_if<DenseStep>(&operation)) return &dense->units;
  const auto* const activation = std::get_if<ActivationStep>(&operation);
  return activation ? &activation->units : nullptr;
}

struct Step {
  Operation operation;
  std::vector<Columns> inputs;
  Columns output;
  Origin origin = {};
};

}  // namespace laminet
