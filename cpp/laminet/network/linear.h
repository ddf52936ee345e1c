// One dense layer by itself.
#pragma once

#include "laminet/base/matrix.h"
#include "laminet/network/layers.h"

namespace laminet {

// Y = s(X W^T + b), one layer whose weights are used as they are: nothing of them is kept. Shapes
// as in Mlp; throws std::invalid_argument where they do not fit.
template <class T>
void linear(ConstMatrixView<T> x, const DenseView<T>& layer, MatrixView<T> y);

}  // namespace laminet
