// The two ways to multiply, and which of them the user asked for.
#pragma once

#include <string_view>

namespace laminet {

enum class Backend { automatic, blas, tiled };

std::string_view name(Backend backend);

// The process-wide choice; at first LAMINET_BACKEND, else "auto".
Backend backend();

// "auto", "blas" or "tiled". Throws std::invalid_argument for another name, and
// std::runtime_error for "blas" where no BLAS library could be loaded.
void set_backend(std::string_view name);

}  // namespace laminet
