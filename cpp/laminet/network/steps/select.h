// Some columns, in any order.
#pragma once

#include <cstddef>
#include <vector>

#include "laminet/network/steps/steps.h"

namespace laminet::steps {

std::vector<std::size_t> kept_columns(const SelectStep& operation, const Step& step);

StepCosts costs(const SelectStep& operation, const Step& step);

template <class T>
void forward(const SelectStep& operation, const StepCall<T>& call, const Frame<T>& values);

template <class T>
void record(const SelectStep& operation, const StepCall<T>& call, const Frame<T>& values,
            const Frame<T>& kept, bool wanted);

template <class T>
void pull_back(const SelectStep& operation, const StepCall<T>& call, const Recorded<T>& recorded,
               const Frame<T>& gradients, Slopes slopes);

template <class T>
void push_forward(const SelectStep& operation, const StepCall<T>& call, const Recorded<T>& recorded,
                  const Frame<T>& tangents);

}  // namespace laminet::steps
