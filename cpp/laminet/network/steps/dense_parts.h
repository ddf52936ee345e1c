// A part of a dense step, which threads share: on the tiled back end.
#pragma once

#include "laminet/network/steps/steps.h"

namespace laminet::steps {

template <class T>
void forward_part(const StepCall<T>& call, const Frame<T>& values, const StepPart& part);

template <class T>
void record_part(const StepCall<T>& call, const Frame<T>& values, const Frame<T>& kept, bool wanted,
                 const StepPart& part);

template <class T>
void push_forward_part(const StepCall<T>& call, const Recorded<T>& recorded,
                       const Frame<T>& tangents, const StepPart& part);

// Of the stages of pull_back the product, between pull_back_slopes and pull_back_sum (dense.h).
template <class T>
void pull_back_product(const StepCall<T>& call, const Recorded<T>& recorded,
                       const Frame<T>& gradients, Slopes slopes, const StepPart& part);

}  // namespace laminet::steps
