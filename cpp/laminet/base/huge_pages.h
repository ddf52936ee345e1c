// Memory on huge pages, where the system grants them.
#pragma once

#include <cstddef>
#include <memory>

#include "laminet/base/matrix.h"

namespace laminet {

inline constexpr std::size_t kHugePage = std::size_t{2} << 20;

// `bytes` of memory, aligned to a cache line and freed with its owner; std::bad_alloc where there
// is none. From a quarter of a huge page on it is whole huge pages, taken fresh from the system:
// what malloc gives may already lie on small ones.
struct ReleasePages {
  std::size_t mapped = 0;  // bytes; 0: from operator new
  void operator()(std::byte* memory) const;
};
using Pages = std::unique_ptr<std::byte, ReleasePages>;
Pages allocate_pages(std::size_t bytes);

// What allocate_pages(bytes) takes.
std::size_t page_bytes(std::size_t bytes);

// Uninitialised elements that are read over and over. On huge pages one entry of the TLB serves
// 2 MiB instead of 4 KiB, and what is contiguous here is contiguous in the cache, where small pages
// that happen to fall on the same sets displace each other: half of 784-256-128-10 fits the L2 of a
// core twice over, yet one sample on two cores takes 4.5 us on small pages and 2.9 us on a huge one
// (Zen 5).
template <class T>
class HugePageArray {
 public:
  HugePageArray() = default;
  explicit HugePageArray(std::size_t size)
      : pages_(allocate_pages(checked_product(size, sizeof(T)))), size_(size) {}

  T* data() { return reinterpret_cast<T*>(pages_.get()); }
  const T* data() const { return reinterpret_cast<const T*>(pages_.get()); }
  std::size_t size() const { return size_; }
  // Whether all are zero as they come: pages that nobody has touched.
  bool zeroed() const { return pages_.get_deleter().mapped > 0; }
  // As allocated.
  std::size_t bytes() const {
    const std::size_t mapped = pages_.get_deleter().mapped;
    return mapped > 0 ? mapped : size_ * sizeof(T);
  }

 private:
  Pages pages_;
  std::size_t size_ = 0;
};

}  // namespace laminet
