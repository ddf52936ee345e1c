#include "laminet/network/layers.h"

#include <cmath>
#include <limits>

#include "laminet/base/check.h"

namespace laminet {

template <class T>
void check_activation(const Activation& activation) {
  const ActivationInfo& row = info(activation.kind);
  const auto check = [&](bool taken, const char* parameter, double value) {
    // Compared before it is converted: a conversion out of range is undefined.
    const bool finite = std::abs(value) <= static_cast<double>(std::numeric_limits<T>::max());
    require(!taken || finite, parameter, " of ", row.name, " must be finite in ",
            sizeof(T) == sizeof(float) ? "float32" : "float64", ", got ", value);
  };
  check(row.has_alpha, "alpha", activation.alpha);
  check(row.has_beta, "beta", activation.beta);
}

template void check_activation<float>(const Activation&);
template void check_activation<double>(const Activation&);

}  // namespace laminet
