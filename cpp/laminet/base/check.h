// Argument checks: one line at the call, a message that names both sides.
#pragma once

#include <sstream>
#include <stdexcept>

namespace laminet {

// Throws std::invalid_argument with the parts of the message written one after the other.
template <class... Parts>
void require(bool condition, const Parts&... parts) {
  if (condition) [[likely]] {
    return;
  }
  std::ostringstream message;
  (message << ... << parts);
  throw std::invalid_argument(message.str());
}

}  // namespace laminet
