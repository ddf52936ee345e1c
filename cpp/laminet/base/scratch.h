// Scratch memory of one thread.
#pragma once

#include <cstddef>

#include "laminet/base/matrix.h"
#include "laminet/base/per_thread.h"

namespace laminet {

// `size` elements that belong to the calling thread until its next call of this function with the
// same purpose, a type that serves as a name. Grows when asked for more than ever before on this
// thread, otherwise allocates nothing; freed when the thread ends. Throws std::bad_alloc.
template <class T, class Purpose = void>
T* thread_scratch(std::size_t size) {
  auto& scratch = thread_object<AlignedArray<T>, Purpose>();
  if (scratch.size() < size) {
    // The old one is freed first, so that both never exist together.
    scratch = AlignedArray<T>();
    scratch = AlignedArray<T>(size);
  }
  return scratch.data();
}

}  // namespace laminet
