// The functions of an operation for all element types: at the end of its file
//
//   #define LAMINET_INSTANTIATE(T) LAMINET_STEP(DenseStep, T)
//   LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
//   #undef LAMINET_INSTANTIATE
#pragma once

#include "laminet/base/types.h"
#include "laminet/network/steps/steps.h"

#define LAMINET_STEP(Operation, T)                                                             \
  template void forward(const Operation&, const StepCall<T>&, const Frame<T>&);                \
  template void record(const Operation&, const StepCall<T>&, const Frame<T>&, const Frame<T>&, \
                       bool);                                                                  \
  template void pull_back(const Operation&, const StepCall<T>&, const Recorded<T>&,            \
                          const Frame<T>&, Slopes);                                            \
  template void push_forward(const Operation&, const StepCall<T>&, const Recorded<T>&,         \
                             const Frame<T>&);
