// A matrix with gaps between its rows, in memory that ends where it does.
#pragma once

#include <cstddef>
#include <vector>

#include "fenced.h"
#include "support.h"

namespace laminet::testing {

// rows x columns with `gap` elements between rows, filled with small whole numbers.
template <class T>
struct Block {
  Block(std::size_t m, std::size_t n, std::size_t gap, unsigned seed)
      : rows(m), columns(n), stride(n + gap), memory((m - 1) * stride + n) {
    std::vector<T> values(memory_size());
    fill_with_integers(values, seed);
    for (std::size_t i = 0; i < values.size(); ++i) memory[i] = values[i];
  }
  std::size_t memory_size() const { return (rows - 1) * stride + columns; }
  T& at(std::size_t i, std::size_t j) { return memory[i * stride + j]; }
  T* data() { return memory.data(); }
  std::ptrdiff_t step() const { return static_cast<std::ptrdiff_t>(stride); }
  std::size_t rows, columns, stride;
  Fenced<T> memory;
};

}  // namespace laminet::testing
