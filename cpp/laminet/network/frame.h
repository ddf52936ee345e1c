// The buffers of a program in memory, for some rows.
#pragma once

#include <cstddef>

#include "laminet/base/matrix.h"
#include "laminet/network/program.h"

namespace laminet {

template <class T>
class Frame {
 public:
  // `memory` has room for `rows` rows of the layout. What is not read or written has no data; the
  // values of a network's input are never written.
  Frame(const Layout& layout, T* memory, std::size_t rows, MatrixView<T> input,
        MatrixView<T> output)
      : layout_(&layout),
        memory_(memory),
        all_(rows),
        rows_(rows),
        input_(input),
        output_(output) {}

  std::size_t rows() const { return rows_; }

  // The same for `count` rows from `first` on.
  Frame rows(std::size_t first, std::size_t count) const {
    Frame part = *this;
    part.first_ += first;
    part.rows_ = count;
    if (input_.data) part.input_ = input_.row_block(first, count);
    if (output_.data) part.output_ = output_.row_block(first, count);
    return part;
  }

  void set_output(MatrixView<T> output) { output_ = output; }

  MatrixView<T> operator()(const Columns& columns) const {
    return at(layout_->places[columns.buffer], columns);
  }

  // Of a forward pass.
  MatrixView<T> operator()(const DirectStep::End& end) const { return at(end, end); }

 private:
  MatrixView<T> at(const auto& place, const auto& columns) const {
    if (place.where == Place::Where::memory) {
      return {memory_ + place.start * all_ + place.stride * first_ + columns.first, rows_,
              columns.count, static_cast<std::ptrdiff_t>(place.stride), 1};
    }
    const MatrixView<T>& view = place.where == Place::Where::input ? input_ : output_;
    return view.data ? view.column_block(columns.first, columns.count) : MatrixView<T>{};
  }

  const Layout* layout_;
  T* memory_;
  std::size_t all_;
  std::size_t first_ = 0;
  std::size_t rows_;
  MatrixView<T> input_;
  MatrixView<T> output_;
};

}  // namespace laminet
