// The activation functions: their names, parameters and defaults. The formulas are in
// body/activations.inc, one function each, compiled once per instruction set.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

namespace laminet {

enum class ActivationKind {
  identity,
  relu,
  relu6,
  leaky_relu,
  elu,
  selu,
  gelu,
  gelu_tanh,
  silu,
  mish,
  tanh,
  sigmoid,
  softplus,
  softsign,
  hard_sigmoid,
  hard_swish,
  sin,    // of SIREN, Sitzmann et al. 2020
  gated,  // (beta + (1 - beta) sigmoid(alpha x)) x: of CosmoPower, Spurio Mancini et al. 2022
};

inline constexpr std::size_t kActivationCount = 18;

// An activation function with its parameters; those that the function does not take are ignored.
struct Activation {
  ActivationKind kind = ActivationKind::identity;
  double alpha = 0.0;
  double beta = 0.0;
  friend bool operator==(const Activation&, const Activation&) = default;
};

struct ActivationInfo {
  std::string_view name;
  Activation defaults;
  bool has_alpha;
  bool has_beta;
};

// One row per function, in the order of ActivationKind.
inline constexpr std::array<ActivationInfo, kActivationCount> kActivations = {{
    {"identity", {ActivationKind::identity}, false, false},
    {"relu", {ActivationKind::relu}, false, false},
    {"relu6", {ActivationKind::relu6}, false, false},
    {"leaky_relu", {ActivationKind::leaky_relu, 0.01}, true, false},
    {"elu", {ActivationKind::elu, 1.0}, true, false},
    {"selu", {ActivationKind::selu}, false, false},
    {"gelu", {ActivationKind::gelu}, false, false},
    {"gelu_tanh", {ActivationKind::gelu_tanh}, false, false},
    {"silu", {ActivationKind::silu}, false, false},
    {"mish", {ActivationKind::mish}, false, false},
    {"tanh", {ActivationKind::tanh}, false, false},
    {"sigmoid", {ActivationKind::sigmoid}, false, false},
    {"softplus", {ActivationKind::softplus}, false, false},
    {"softsign", {ActivationKind::softsign}, false, false},
    {"hard_sigmoid", {ActivationKind::hard_sigmoid, 1.0 / 6.0, 0.5}, true, true},
    {"hard_swish", {ActivationKind::hard_swish}, false, false},
    {"sin", {ActivationKind::sin}, false, false},
    {"gated", {ActivationKind::gated, 1.0, 0.0}, true, true},
}};

constexpr const ActivationInfo& info(ActivationKind kind) {
  return kActivations[static_cast<std::size_t>(kind)];
}

// The row with that name, or nothing.
constexpr std::optional<ActivationKind> find_activation(std::string_view name) {
  for (const ActivationInfo& row : kActivations) {
    if (row.name == name) return row.defaults.kind;
  }
  return std::nullopt;
}

}  // namespace laminet
