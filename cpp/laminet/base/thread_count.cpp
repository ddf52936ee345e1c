#include "laminet/base/thread_count.h"

#include <atomic>
#include <charconv>
#include <cstdlib>
#include <string_view>

#include "laminet/base/check.h"
#include "laminet/base/cpu_info.h"

namespace laminet {
namespace {

// Read once: it decides how many threads there are, and they are never ended.
const std::size_t cpus_at_start = allowed_cpus();

std::size_t default_threads() {
  const char* text = std::getenv("LAMINET_NUM_THREADS");
  if (!text || !*text) return cpus_at_start;
  const std::string_view view(text);
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(view.data(), view.data() + view.size(), value);
  require(error == std::errc{} && end == view.data() + view.size() && value >= 1,
          "LAMINET_NUM_THREADS must be a whole number of at least 1, got '", view, "'");
  return value;
}

// 0: not asked for yet.
std::atomic<std::size_t> thread_count{0};

}  // namespace

std::size_t num_threads() {
  std::size_t count = thread_count.load(std::memory_order_relaxed);
  if (count == 0) {
    count = default_threads();
    thread_count.store(count, std::memory_order_relaxed);
  }
  return count;
}

void set_num_threads(std::size_t count) {
  require(count >= 1, "the number of threads must be at least 1, got ", count);
  thread_count.store(count, std::memory_order_relaxed);
}

std::size_t max_threads() { return cpus_at_start; }

}  // namespace laminet
