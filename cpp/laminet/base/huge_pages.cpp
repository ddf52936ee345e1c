#include "laminet/base/huge_pages.h"

#include <cstdint>
#include <limits>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace laminet {
namespace {

constexpr auto kSmallAlignment = std::align_val_t{AlignedArray<std::byte>::kAlignment};

#if defined(__linux__)
bool is_mapped(std::size_t bytes) { return bytes >= kHugePage / 4; }
#else
bool is_mapped(std::size_t) { return false; }
#endif

}  // namespace

void ReleasePages::operator()(std::byte* memory) const {
#if defined(__linux__)
  if (mapped > 0) {
    munmap(memory, mapped);
    return;
  }
#endif
  ::operator delete(memory, kSmallAlignment);
}

std::size_t page_bytes(std::size_t bytes) {
  return is_mapped(bytes) ? round_up(bytes, kHugePage) : bytes;
}

Pages allocate_pages(std::size_t bytes) {
#if defined(__linux__)
  if (is_mapped(bytes)) {
    if (bytes > std::numeric_limits<std::size_t>::max() - 2 * kHugePage) throw std::bad_alloc();
    const std::size_t size = page_bytes(bytes);
    void* const raw =
        mmap(nullptr, size + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED) throw std::bad_alloc();
    // Keep the part that starts on a huge page.
    auto* const first = static_cast<std::byte*>(raw);
    const std::size_t before = round_up(reinterpret_cast<std::uintptr_t>(raw), kHugePage) -
                               reinterpret_cast<std::uintptr_t>(raw);
    if (before > 0) munmap(first, before);
    munmap(first + before + size, kHugePage - before);
    // Refused where the kernel has none, which changes speed alone.
    (void)madvise(first + before, size, MADV_HUGEPAGE);
    return Pages(first + before, ReleasePages{size});
  }
#endif
  return Pages(static_cast<std::byte*>(::operator new(bytes, kSmallAlignment)));
}

}  // namespace laminet
