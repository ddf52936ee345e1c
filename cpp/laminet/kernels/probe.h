// Loops that run at one limit of the core each: laminet/probe times them.
#pragma once

#include <cstddef>

namespace laminet::kernels {

template <class T>
struct ProbeLoops {
  std::size_t fma_chains;  // independent multiply-adds of a vector in a round of `fma`
  std::size_t lanes;       // elements of a vector
  T (*fma)(std::size_t rounds);
  T (*dependent_fma)(std::size_t rounds);  // one a round, which waits for that of the round before
  // Reads n elements, a multiple of 1024 bytes, `passes` times.
  T (*read)(const T* data, std::size_t n, std::size_t passes);
  // As many chains of products of pairs of bfloat16; null where there is no instruction for these.
  T (*pairs)(std::size_t rounds) = nullptr;
};

}  // namespace laminet::kernels
