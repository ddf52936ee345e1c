// What the derivatives of the activations are compared with; see activation_reference.h.
#pragma once

#include "activation_reference.h"

namespace laminet::kernels {

// e^x of an argument in quadruple precision, whose rest enters as a first derivative.
template <class R>
R exp_of(Quad x) {
  const R hi = static_cast<R>(x);
  return std::exp(hi) * (1 + static_cast<R>(x - hi));
}

template <class R>
R gelu_derivative_reference(R x) {
  if (!std::isfinite(x)) return std::numeric_limits<R>::quiet_NaN();
  const Quad w = Quad(-x) * (Quad(0.7071067811865475243819L) + Quad(1.895032559e-20L));
  const R hi = static_cast<R>(w);
  const R slope = std::exp(-hi * hi) * R(1.12837916709551257390L);  // of -erfc
  const R normal = R(0.5) * (std::erfc(hi) - slope * static_cast<R>(w - hi));
  const R density = R(0.398942280401432677939946L) * exp_of<R>(Quad(x) * Quad(x) / -2);
  return normal + x * density;
}

template <class R>
R gelu_tanh_derivative_reference(R x) {
  if (!std::isfinite(x)) return std::numeric_limits<R>::quiet_NaN();
  if (std::abs(x) > 30) return x > 0 ? R(1) : R(0);
  const Quad root = Quad(1.595769121605730711706L) + Quad(5.351177556e-20L);  // 2 sqrt(2 / pi)
  const Quad cubic = Quad(44715) / 1000000;
  const Quad y = root * (Quad(x) + cubic * Quad(x) * Quad(x) * Quad(x));
  const R slope = static_cast<R>(Quad(x) * root * (1 + 3 * cubic * Quad(x) * Quad(x)));
  const R e = exp_of<R>(y < 0 ? y : -y);
  return x < 0 ? e / (1 + e) * (1 + slope / (1 + e)) : (1 + slope * e / (1 + e)) / (1 + e);
}

template <class R>
R silu_derivative_reference(R x) {
  if (!std::isfinite(x)) return std::numeric_limits<R>::quiet_NaN();
  const R e = std::exp(-std::abs(x));
  return x < 0 ? e / (1 + e) * (1 + x / (1 + e)) : (1 + x * e / (1 + e)) / (1 + e);
}

template <class R>
R mish_derivative_reference(R x) {
  if (!std::isfinite(x)) return std::numeric_limits<R>::quiet_NaN();
  const R e = std::exp(-std::abs(x));
  const R w = x < 0 ? 2 + 2 * e + e * e : 1 + 2 * e + 2 * e * e;
  if (x < 0) return e * ((2 + e) * w + 4 * x * (1 + e)) / (w * w);
  return ((1 + 2 * e) * w + 4 * x * e * e * (1 + e)) / (w * w);
}

// D(t) + beta D(-t), t = alpha x, D being the derivative of silu
template <class R>
R gated_derivative_reference(R x, R alpha, R beta) {
  const Quad exact = Quad(alpha) * Quad(x);
  const R t = static_cast<R>(exact);
  if (!std::isfinite(x)) return std::numeric_limits<R>::quiet_NaN();
  if (!std::isfinite(t)) return t < 0 ? beta : t > 0 ? R(1) : t;
  const R rest = static_cast<R>(exact - Quad(t));  // the second derivative of silu(t) at most 1/2
  const R e = std::exp(-std::abs(t));
  const auto bend = [&](R at) {  // of D: s(t) s(-t) (2 + t (s(-t) - s(t)))
    return e / ((1 + e) * (1 + e)) * (2 + at * (sigmoid_reference(-at) - sigmoid_reference(at)));
  };
  return silu_derivative_reference(t) + rest * bend(t) +
         beta * (silu_derivative_reference(-t) - rest * bend(-t));
}

template <class R>
R derivative_reference(ActivationKind kind, R x) {
  if (std::isnan(x) && kind != ActivationKind::identity) return x;
  const R e = std::exp(-std::abs(x));
  switch (kind) {
    case ActivationKind::identity:
      return 1;
    case ActivationKind::relu:
      return x > 0;
    case ActivationKind::relu6:
      return x > 0 && x < 6;
    case ActivationKind::leaky_relu:
      return x > 0 ? R(1) : sizeof(R) == sizeof(double) ? R(0.01f) : R(0.01);
    case ActivationKind::elu:
      return x > 0 ? R(1) : std::exp(x);
    case ActivationKind::selu:
      return R(1.0507009873554804934193349852946L) *
             (x > 0 ? R(1) : R(1.6732632423543772848170429916717L) * std::exp(x));
    case ActivationKind::gelu:
      return gelu_derivative_reference(x);
    case ActivationKind::gelu_tanh:
      return gelu_tanh_derivative_reference(x);
    case ActivationKind::silu:
      return silu_derivative_reference(x);
    case ActivationKind::mish:
      return mish_derivative_reference(x);
    case ActivationKind::tanh:
      return 1 / (std::cosh(x) * std::cosh(x));
    case ActivationKind::sigmoid:
      return e / ((1 + e) * (1 + e));
    case ActivationKind::softplus:
      return sigmoid_reference(x);
    case ActivationKind::softsign:
      return 1 / ((1 + std::abs(x)) * (1 + std::abs(x)));
    case ActivationKind::hard_sigmoid:
      return x > -3 && x < 3 ? (sizeof(R) == sizeof(double) ? R(float(1.0 / 6)) : R(1.0 / 6))
                             : R(0);
    case ActivationKind::hard_swish:
      return x <= -3 ? R(0) : x < 3 ? (2 * x + 3) / 6 : R(1);
    case ActivationKind::sin:
      return std::cos(x);
    case ActivationKind::gated:
      return silu_derivative_reference(x);
  }
  return 0;
}

}  // namespace laminet::kernels
