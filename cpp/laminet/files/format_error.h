// What is wrong with a file.
#pragma once

#include <sstream>
#include <stdexcept>

namespace laminet {

// A file is damaged, of another kind, or of a later laminet. The message is for users: it says
// where.
class FormatError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws FormatError with the parts of the message written one after the other.
template <class... Parts>
void require_format(bool condition, const Parts&... parts) {
  if (condition) [[likely]] {
    return;
  }
  std::ostringstream message;
  (message << ... << parts);
  throw FormatError(message.str());
}

}  // namespace laminet
