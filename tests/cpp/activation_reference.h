// What the activations are compared with: formulas that do not cancel, in a type of more than twice
// the accuracy that is asked, and the distance from them in units in the last place.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "laminet/kernels/activation.h"
#include "laminet/kernels/elementwise.h"

namespace laminet::kernels {

// Clang has no __float128 on Arm, where long double is the same format.
#if defined(__SIZEOF_FLOAT128__)
__extension__ typedef __float128 Quad;
#else
using Quad = long double;
#endif
static_assert(std::numeric_limits<long double>::digits >= 64);

template <class T>
constexpr const char* type_name = sizeof(T) == sizeof(float) ? "float32" : "float64";
template <class T>
using Wide = std::conditional_t<sizeof(T) == sizeof(float), double, long double>;

// `Wide` has 29 (11) more bits than T; where the result magnifies the rounding of an argument by
// more than that, the rest of the argument, from quadruple precision, enters as a first derivative.

template <class R>
R gelu_reference(R x) {
  if (!std::isfinite(x)) return x < 0 ? std::numeric_limits<R>::quiet_NaN() : x;
  const Quad exact = Quad(-x) * (Quad(0.7071067811865475243819L) + Quad(1.895032559e-20L));
  const R w = static_cast<R>(exact);
  const R slope = std::exp(-w * w) * R(1.12837916709551257390L);  // of -erfc
  return x * R(0.5) * (std::erfc(w) - slope * static_cast<R>(exact - w));
}

template <class R>
R gelu_tanh_reference(R x) {
  if (!std::isfinite(x)) return x < 0 ? std::numeric_limits<R>::quiet_NaN() : x;
  const Quad root = Quad(1.595769121605730711706L) + Quad(5.351177556e-20L);  // 2 sqrt(2 / pi)
  const Quad exact = -root * (Quad(x) + Quad(44715) / 1000000 * Quad(x) * Quad(x) * Quad(x));
  const R hi = static_cast<R>(exact);
  if (std::isinf(hi)) return hi < 0 ? x : R(-0.0);
  return x / (1 + std::exp(hi) * (1 + static_cast<R>(exact - hi)));
}

template <class R>
R softplus_reference(R x) {
  return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
}

template <class R>
R sigmoid_reference(R x) {
  return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x));
}

template <class R>
R hard_sigmoid_reference(R x) {
  if (!(std::abs(x) < 4)) return std::isnan(x) ? x : R(x > 0);
  const Quad y = Quad(1.0 / 6.0) * Quad(x) + Quad(0.5);
  return static_cast<R>(y < 0 ? Quad(0) : y > 1 ? Quad(1) : y);
}

// (beta + (1 - beta) s(alpha x)) x as x s(t) + beta x s(-t), t = alpha x
template <class R>
R gated_reference(R x, R alpha, R beta) {
  const Quad exact = Quad(alpha) * Quad(x);
  const R t = static_cast<R>(exact);
  if (!std::isfinite(x) || !std::isfinite(t)) {
    return std::isnan(t) ? t : x * (t < 0 ? beta : R(1));
  }
  // The rest of t enters by the derivative of s, s(t) s(-t).
  const R rest = static_cast<R>(exact - Quad(t));
  const R open = sigmoid_reference(t), shut = sigmoid_reference(-t);
  return x * (open * (1 + rest * shut) + beta * shut * (1 - rest * open));
}

template <class R>
R activation_reference(ActivationKind kind, R x) {
  const R positive = x > 0 ? x : std::isnan(x) ? x : R(0);
  switch (kind) {
    case ActivationKind::identity:
      return x;
    case ActivationKind::relu:
      return positive;
    case ActivationKind::relu6:
      return positive > 6 ? R(6) : positive;
    case ActivationKind::leaky_relu:
      // alpha is rounded to T, which is the type that R is wide for.
      return x > 0 ? x : x * (sizeof(R) == sizeof(double) ? R(0.01f) : R(0.01));
    case ActivationKind::elu:
      return x > 0 ? x : std::expm1(x);
    case ActivationKind::selu:
      return R(1.0507009873554804934193349852946L) *
             (x > 0 ? x : R(1.6732632423543772848170429916717L) * std::expm1(x));
    case ActivationKind::gelu:
      return gelu_reference(x);
    case ActivationKind::gelu_tanh:
      return gelu_tanh_reference(x);
    case ActivationKind::silu:
      return x * sigmoid_reference(x);
    case ActivationKind::mish:
      return x * std::tanh(softplus_reference(x));
    case ActivationKind::tanh:
      return std::tanh(x);
    case ActivationKind::sigmoid:
      return sigmoid_reference(x);
    case ActivationKind::softplus:
      return softplus_reference(x);
    case ActivationKind::softsign:
      return x / (1 + std::abs(x));
    case ActivationKind::hard_sigmoid:
      return hard_sigmoid_reference(x);
    case ActivationKind::hard_swish:
      return x >= 3 ? x : x * (x > -3 ? x + 3 : R(x - x)) / 6;
    case ActivationKind::sin:
      return std::sin(x);
    case ActivationKind::gated:
      return gated_reference(x, R(1), R(0));
  }
  return 0;
}

template <class R>
R elementary_reference(Elementary f, R x) {
  switch (f) {
    case Elementary::exp:
      return std::exp(x);
    case Elementary::expm1:
      return std::expm1(x);
    case Elementary::log1p_exp:
      return softplus_reference(x);
    case Elementary::tanh:
      return std::tanh(x);
    case Elementary::sigmoid:
      return sigmoid_reference(x);
  }
  return 0;
}

// The distance from the exact value in units of T's spacing there; infinity counts as the first
// power of two that T does not have.
template <class T>
double ulp_error(T got, Wide<T> want) {
  using R = Wide<T>;
  if (std::isnan(got) || std::isnan(want)) {
    return std::isnan(got) && std::isnan(want) ? 0 : HUGE_VAL;
  }
  using Limits = std::numeric_limits<T>;
  const R beyond = std::ldexp(R(1), Limits::max_exponent);
  const R y = std::isinf(got) ? std::copysign(beyond, R(got)) : R(got);
  if (std::abs(want) > beyond) want = std::copysign(beyond, want);
  if (y == want) return 0;
  int exponent = Limits::min_exponent;
  if (std::abs(want) >= Limits::min()) std::frexp(want, &exponent);
  return static_cast<double>(std::ldexp(std::abs(y - want), Limits::digits - exponent));
}

}  // namespace laminet::kernels
