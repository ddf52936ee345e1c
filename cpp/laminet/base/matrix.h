// Views of matrices in memory that somebody else owns, and the aligned storage that we own.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <limits>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace laminet {

// rows x columns elements, `row_stride` and `column_stride` elements apart. Strides may be
// negative (reversed views) or zero (broadcast ones).
template <class T>
struct MatrixView {
  T* data = nullptr;
  std::size_t rows = 0;
  std::size_t columns = 0;
  std::ptrdiff_t row_stride = 0;
  std::ptrdiff_t column_stride = 1;

  T* row(std::size_t i) const { return data + static_cast<std::ptrdiff_t>(i) * row_stride; }
  T& operator()(std::size_t i, std::size_t j) const {
    return row(i)[static_cast<std::ptrdiff_t>(j) * column_stride];
  }
  MatrixView row_block(std::size_t first, std::size_t count) const {
    return {row(first), count, columns, row_stride, column_stride};
  }
  MatrixView column_block(std::size_t first, std::size_t count) const {
    return {data + static_cast<std::ptrdiff_t>(first) * column_stride, rows, count, row_stride,
            column_stride};
  }
  bool contiguous_rows() const { return column_stride == 1 || columns <= 1; }
  // NOLINTNEXTLINE(google-explicit-constructor): as a pointer becomes one to const
  operator MatrixView<const T>() const
    requires(!std::is_const_v<T>)
  {
    return {data, rows, columns, row_stride, column_stride};
  }
};

template <class T>
using ConstMatrixView = MatrixView<const T>;

// A view of rows that follow one another without gaps.
template <class T>
MatrixView<T> dense_view(T* data, std::size_t rows, std::size_t columns) {
  return {data, rows, columns, static_cast<std::ptrdiff_t>(columns), 1};
}

// a * b, or std::bad_array_new_length where the product does not fit: the one way to a size that
// is about to be allocated.
inline std::size_t checked_product(std::size_t a, std::size_t b) {
  if (b != 0 && a > std::numeric_limits<std::size_t>::max() / b) {
    throw std::bad_array_new_length();
  }
  return a * b;
}

constexpr std::size_t round_up(std::size_t value, std::size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Uninitialised elements aligned to a cache line, which is also the widest vector.
template <class T>
class AlignedArray {
 public:
  static constexpr std::size_t kAlignment = 64;

  AlignedArray() = default;
  explicit AlignedArray(std::size_t size)
      : data_(static_cast<T*>(
            ::operator new(checked_product(size, sizeof(T)), std::align_val_t{kAlignment}))),
        size_(size) {}

  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  std::size_t size() const { return size_; }
  std::size_t bytes() const { return size_ * sizeof(T); }
  T* begin() { return data(); }
  T* end() { return data() + size_; }
  const T* begin() const { return data(); }
  const T* end() const { return data() + size_; }

 private:
  struct Free {
    void operator()(T* p) const { ::operator delete(p, std::align_val_t{kAlignment}); }
  };
  std::unique_ptr<T, Free> data_;
  std::size_t size_ = 0;
};

// dst = src, element by element; the shapes are equal.
template <class T>
void copy(ConstMatrixView<T> src, MatrixView<T> dst) {
  // The inner loop follows the direction in which the source is dense, so that every cache line of
  // it is used while it is there.
  const auto magnitude = [](std::ptrdiff_t s) { return s < 0 ? -s : s; };
  if (magnitude(src.column_stride) > magnitude(src.row_stride)) {
    for (std::size_t j = 0; j < src.columns; ++j) {
      for (std::size_t i = 0; i < src.rows; ++i) dst(i, j) = src(i, j);
    }
  } else {
    for (std::size_t i = 0; i < src.rows; ++i) {
      for (std::size_t j = 0; j < src.columns; ++j) dst(i, j) = src(i, j);
    }
  }
}

}  // namespace laminet
