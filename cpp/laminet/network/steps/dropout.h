// Features that are left out at random while a network is trained.
#pragma once

#include <cstddef>
#include <vector>

#include "laminet/network/steps/steps.h"

namespace laminet::steps {

std::vector<std::size_t> kept_columns(const DropoutStep& operation, const Step& step);

StepCosts costs(const DropoutStep& operation, const Step& step);

template <class T>
void forward(const DropoutStep& operation, const StepCall<T>& call, const Frame<T>& values);

template <class T>
void record(const DropoutStep& operation, const StepCall<T>& call, const Frame<T>& values,
            const Frame<T>& kept, bool wanted);

template <class T>
void pull_back(const DropoutStep& operation, const StepCall<T>& call, const Recorded<T>& recorded,
               const Frame<T>& gradients, Slopes slopes);

template <class T>
void push_forward(const DropoutStep& operation, const StepCall<T>& call,
                  const Recorded<T>& recorded, const Frame<T>& tangents);

}  // namespace laminet::steps
