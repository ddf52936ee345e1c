#include "laminet/gemm/backend.h"

#include <array>
#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "laminet/base/check.h"
#include "laminet/gemm/blas_library.h"

namespace laminet {
namespace {

constexpr std::array<std::string_view, 3> kNames = {"auto", "blas", "tiled"};

Backend parse(std::string_view text, std::string_view source) {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (text != kNames[i]) continue;
    const Backend parsed = static_cast<Backend>(i);
    if (parsed == Backend::blas && !blas::library()) {
      throw std::runtime_error(std::string(source) +
                               ": back end 'blas' is not available: " + blas::load_error());
    }
    return parsed;
  }
  require(false, source, " must be 'auto', 'blas' or 'tiled', got '", text, "'");
  return Backend::automatic;
}

Backend initial() {
  const char* text = std::getenv("LAMINET_BACKEND");
  return text && *text ? parse(text, "LAMINET_BACKEND") : Backend::automatic;
}

std::atomic<int> chosen{-1};

}  // namespace

std::string_view name(Backend backend) { return kNames[static_cast<std::size_t>(backend)]; }

Backend backend() {
  int value = chosen.load(std::memory_order_relaxed);
  if (value < 0) {
    const int first = static_cast<int>(initial());
    // Not in the place of a choice made meanwhile.
    if (chosen.compare_exchange_strong(value, first, std::memory_order_relaxed)) value = first;
  }
  return static_cast<Backend>(value);
}

void set_backend(std::string_view name) {
  chosen.store(static_cast<int>(parse(name, "backend")), std::memory_order_relaxed);
}

}  // namespace laminet
