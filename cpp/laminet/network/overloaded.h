// One function of several lambdas, for std::visit.
#pragma once

namespace laminet {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};

}  // namespace laminet
