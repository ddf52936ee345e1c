// The functions of an operation for all element types.
#pragma once

#include "laminet/network/steps/steps.h"

#define LAMINET_STEP_OF(Operation, T)                                                          \
  template void forward(const Operation&, const StepCall<T>&, const Frame<T>&);                \
  template void record(const Operation&, const StepCall<T>&, const Frame<T>&, const Frame<T>&, \
                       bool);                                                                  \
  template void pull_back(const Operation&, const StepCall<T>&, const Recorded<T>&,            \
                          const Frame<T>&, Slopes);                                            \
  template void push_forward(const Operation&, const StepCall<T>&, const Recorded<T>&,         \
                             const Frame<T>&);

#define LAMINET_STEP(Operation)     \
  LAMINET_STEP_OF(Operation, float) \
  LAMINET_STEP_OF(Operation, double)
