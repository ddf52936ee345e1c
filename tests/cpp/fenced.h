// Memory between pages that the operating system guards.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace laminet::testing {

// Memory of n elements between two pages that no one may touch. It ends where the second begins, or
// with LAMINET_TEST_FENCE=before begins where the first ends; what is left of its own pages at the
// other end must stay as it is.
template <class T>
class Fenced {
 public:
  explicit Fenced(std::size_t n, T fill = T{0})
      : size_(n), page_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))) {
    whole_ = (n * sizeof(T) + page_ - 1) / page_ * page_;
    void* const all = mmap(nullptr, whole_ + 2 * page_, PROT_NONE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED) std::abort();
    base_ = static_cast<unsigned char*>(all) + page_;
    if (whole_ > 0 && mprotect(base_, whole_, PROT_READ | PROT_WRITE) != 0) std::abort();
    if (whole_ > 0) std::memset(base_, kCanary, whole_);
    data_ = reinterpret_cast<T*>(before() ? base_ : base_ + whole_ - n * sizeof(T));
    std::fill(begin(), end(), fill);
  }
  ~Fenced() {
    EXPECT_TRUE(intact()) << "written outside " << size_ << " elements";
    munmap(base_ - page_, whole_ + 2 * page_);
  }
  Fenced(const Fenced&) = delete;
  Fenced& operator=(const Fenced&) = delete;
  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  T* data() { return data_; }
  std::size_t size() const { return size_; }
  T& operator[](std::size_t i) { return data_[i]; }

 private:
  static bool before() {
    const char* const side = std::getenv("LAMINET_TEST_FENCE");
    return side != nullptr && std::strcmp(side, "before") == 0;
  }
  bool intact() const {
    const std::size_t slack = whole_ - size_ * sizeof(T);
    const unsigned char* const first = before() ? base_ + size_ * sizeof(T) : base_;
    return std::all_of(first, first + slack, [](unsigned char byte) { return byte == kCanary; });
  }

  static constexpr unsigned char kCanary = 0xA5;
  std::size_t size_;
  std::size_t page_;
  std::size_t whole_;
  unsigned char* base_;
  T* data_;
};

}  // namespace laminet::testing
