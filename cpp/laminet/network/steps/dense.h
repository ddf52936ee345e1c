// One dense layer, or several side by side.
#pragma once

#include <cstddef>
#include <vector>

#include "laminet/network/steps/steps.h"

namespace laminet::steps {

std::vector<std::size_t> kept_columns(const DenseStep& operation, const Step& step);

StepCosts costs(const DenseStep& operation, const Step& step);

template <class T>
void forward(const DenseStep& operation, const StepCall<T>& call, const Frame<T>& values);

template <class T>
void pre_activation(const StepCall<T>& call, const Frame<T>& values, MatrixView<T> z);

template <class T>
void record(const DenseStep& operation, const StepCall<T>& call, const Frame<T>& values,
            const Frame<T>& kept, bool wanted);

template <class T>
void pull_back(const DenseStep& operation, const StepCall<T>& call, const Recorded<T>& recorded,
               const Frame<T>& gradients, Slopes slopes);

template <class T>
void push_forward(const DenseStep& operation, const StepCall<T>& call, const Recorded<T>& recorded,
                  const Frame<T>& tangents);

// What pull_back does before and after the product, of which threads do parts: for all rows.
template <class T>
void pull_back_slopes(const StepCall<T>& call, const Recorded<T>& recorded,
                      const Frame<T>& gradients, Slopes slopes);

template <class T>
void pull_back_sum(const StepCall<T>& call, const Recorded<T>& recorded, const Frame<T>& gradients,
                   Slopes slopes);

// y = g W, of one group.
template <class T>
void times_weight(const StepCall<T>& call, ConstMatrixView<T> g, MatrixView<T> y);

// Asks for the memory that the way back of `rows` rows, `repeat` of which belong to a sample, takes
// besides gradients, and for the pages behind it.
template <class T>
void reserve_pull_back(const DenseStep& operation, const Operands<T>& operands, std::size_t rows,
                       std::size_t repeat);

}  // namespace laminet::steps
