// One function of several lambdas, for std::visit.
#pragma once

#include <type_traits>

namespace laminet {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;

  // What no lambda takes ends here; else the compiler would list all of std::visit.
  template <class Kind>
    requires(!(std::is_invocable_v<const F&, const Kind&> || ...))
  auto operator()(const Kind&) const {
    static_assert(!sizeof(Kind*), "none of these functions takes this kind of layer or step");
  }
};

}  // namespace laminet
