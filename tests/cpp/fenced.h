// Memory whose end is guarded by the operating system.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>

namespace laminet::testing {

// Memory of n elements that ends at a page no one may touch.
template <class T>
class Fenced {
 public:
  explicit Fenced(std::size_t n) : page_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))) {
    whole_ = (n * sizeof(T) + page_ - 1) / page_ * page_;
    base_ = static_cast<char*>(
        mmap(nullptr, whole_ + page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(base_ + whole_, page_, PROT_NONE);
    data_ = reinterpret_cast<T*>(base_ + whole_) - n;
  }
  ~Fenced() { munmap(base_, whole_ + page_); }
  Fenced(const Fenced&) = delete;
  Fenced& operator=(const Fenced&) = delete;
  T* data() { return data_; }
  T& operator[](std::size_t i) { return data_[i]; }

 private:
  std::size_t page_;
  std::size_t whole_;
  char* base_;
  T* data_;
};

}  // namespace laminet::testing
