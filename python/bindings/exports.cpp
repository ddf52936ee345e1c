// C symbols of the extension module, by which programs that limit the threads of all libraries
// (threadpoolctl) find it and ask and set its number of threads, as they do with OpenBLAS.
#include <atomic>
#include <cstdint>
#include <exception>

#include "laminet/base/thread_count.h"
#include "laminet/base/version.h"

#define LAMINET_EXPORT __attribute__((visibility("default")))

namespace {

// The last answer given while there was no limit.
std::atomic<int> told{0};

}  // namespace

extern "C" {

LAMINET_EXPORT const char* laminet_get_version() noexcept { return LAMINET_VERSION; }

// 0 where LAMINET_NUM_THREADS is wrong, which the first use says in words.
LAMINET_EXPORT int laminet_get_num_threads() noexcept try {
  const int count = static_cast<int>(laminet::thread_count().count);
  if (laminet::thread_setting().limit == 0) told.store(count, std::memory_order_relaxed);
  return count;
} catch (const std::exception&) {
  return 0;
}

// A limit for the whole process. Who sets one asks for the number before, and in the end sets that:
// then, as with less than 1, there is no limit any more, rather than one at that number. A number
// that follows the CPUs would stand still for ever otherwise, and after a limit for other libraries
// alone too, which ends by setting every library's number.
LAMINET_EXPORT void laminet_set_num_threads(int count) noexcept {
  laminet::ThreadSetting setting = laminet::thread_setting();
  const bool ends = count < 1 || count == told.load(std::memory_order_relaxed);
  setting.limit = ends ? 0 : static_cast<std::uint32_t>(count);
  laminet::set_thread_setting(setting);
}

}  // extern "C"
