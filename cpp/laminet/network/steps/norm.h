// LayerNorm and RMSNorm of each row.
#pragma once

#include <cstddef>
#include <vector>

#include "laminet/network/steps/steps.h"

namespace laminet::steps {

std::vector<std::size_t> kept_columns(const NormStep& operation, const Step& step);

StepCosts costs(const NormStep& operation, const Step& step);

template <class T>
void forward(const NormStep& operation, const StepCall<T>& call, const Frame<T>& values);

template <class T>
void record(const NormStep& operation, const StepCall<T>& call, const Frame<T>& values,
            const Frame<T>& kept, bool wanted);

template <class T>
void pull_back(const NormStep& operation, const StepCall<T>& call, const Recorded<T>& recorded,
               const Frame<T>& gradients, Slopes slopes);

template <class T>
void push_forward(const NormStep& operation, const StepCall<T>& call, const Recorded<T>& recorded,
                  const Frame<T>& tangents);

// What a pass with Slopes::keep has kept for the gradients of a norm's parameters.
template <class T>
MatrixView<T> normalized_of(const StepCall<T>& call, const Frame<T>& kept);
template <class T>
MatrixView<T> gradient_of(const StepCall<T>& call, const Frame<T>& kept);

}  // namespace laminet::steps
