#include "laminet/base/huge_pages.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace laminet {

void advise_huge_pages([[maybe_unused]] void* memory, [[maybe_unused]] std::size_t bytes) {
#if defined(__linux__)
  // Refused where the kernel has none, which changes speed alone.
  (void)madvise(memory, bytes, MADV_HUGEPAGE);
#endif
}

}  // namespace laminet
