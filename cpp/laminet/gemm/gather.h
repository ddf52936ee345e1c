// Products that leave out what a slope of zero makes zero.
//
// Half of the slopes of relu are 0. In the Jacobian of a sample the rows of its chain share them,
// so that half of the rows of W do not count in G D W: they are left out, for half of the work. The
// sums of the others are made in the same order as ever.
#pragma once

#include <cstddef>

#include "laminet/base/matrix.h"
#include "laminet/kernels/activation.h"
#include "laminet/kernels/table.h"

namespace laminet {

// Whether it pays for slopes of that activation, where `repeat` rows belong to a sample. Not where
// a weight is infinite or NaN, since 0 times that is NaN.
bool gathers(const Activation& activation, std::size_t repeat);

// Asks for the memory of the products of so many rows of `depth` columns, and for the pages behind
// it.
template <class T>
void reserve_gather(std::size_t rows, std::size_t depth, std::size_t repeat);

// out = g D W, NaN where the products that are left out would give it, which finite weights do
// where g is not finite. Row i of g belongs to row (first + i) / repeat of d. out has contiguous
// rows.
template <class T>
void gathered_product(ConstMatrixView<T> w, const kernels::Table<T>& table, ConstMatrixView<T> g,
                      ConstMatrixView<T> d, std::size_t first, std::size_t repeat,
                      MatrixView<T> out);

}  // namespace laminet
