// The numbers of a network: one flat buffer, of which a program says what lies where.
//
// Gradients, moments and averages have the same layout, so that what an optimiser does is one pass.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "laminet/base/huge_pages.h"
#include "laminet/base/matrix.h"
#include "laminet/network/program.h"

namespace laminet {

// Elements to which each matrix is aligned: a cache line of float, two of double.
inline constexpr std::size_t kParameterAlignment = 16;

template <class T>
class Parameters {
 public:
  explicit Parameters(std::size_t size) : data_(size) {
    // Also between the matrices, where passes over the whole buffer read.
    if (!data_.zeroed()) std::fill_n(data_.data(), size, T{0});
  }

  // No data where there is none.
  ConstMatrixView<T> operator[](const ParameterBlock& block) const {
    if (block.rows == 0) return {};
    return dense_view<const T>(data_.data() + block.start, block.rows, block.columns);
  }
  const T* data() const { return data_.data(); }
  std::size_t size() const { return data_.size(); }
  std::size_t bytes() const { return data_.bytes(); }

  // How often the numbers have changed: what is made of them says of which version.
  std::uint64_t version() const { return version_; }
  // To write; what was made of the numbers is out of date.
  MatrixView<T> change(const ParameterBlock& block) {
    ++version_;
    return dense_view(data_.data() + block.start, block.rows, block.columns);
  }

 private:
  HugePageArray<T> data_;
  std::uint64_t version_ = 0;
};

}  // namespace laminet
