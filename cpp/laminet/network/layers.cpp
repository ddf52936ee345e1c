#include "laminet/network/layers.h"

#include <cmath>
#include <limits>

#include "laminet/base/check.h"
#include "laminet/base/types.h"

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

#define LAMINET_INSTANTIATE(T) template void check_activation<T>(const Activation&);
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet
