// Matrices rounded to bfloat16, as factors of products (tile.h), in the calling thread's memory:
// each result stays until the thread makes another of its kind.
#pragma once

#include <cstddef>

#include "laminet/base/bfloat16.h"
#include "laminet/base/matrix.h"
#include "laminet/kernels/table.h"

namespace laminet {

// Asks for the memory that rounding of (rows, columns) takes, on the calling thread, and for the
// pages behind it.
template <class T>
void reserve_rounded(std::size_t rows, std::size_t columns);

// A copy of x, contiguous rows, as numbers.
template <class T>
ConstMatrixView<T> rounded(ConstMatrixView<T> x, const kernels::Table<T>& table);

// Pairs of columns that follow each other, an odd last one with 0; of rows. The table has tiles for
// these.
MatrixView<bfloat16_pair> pairs_of(ConstMatrixView<float> x, const kernels::Table<float>& table);
MatrixView<bfloat16_pair> row_pairs_of(ConstMatrixView<float> x,
                                       const kernels::Table<float>& table);

// Of pairs an odd number and 0: with -0 instead, as the right one of two factors has it.
constexpr bfloat16_pair as_right_factor(bfloat16_pair odd) { return {odd.bits | 0x8000u}; }

}  // namespace laminet
