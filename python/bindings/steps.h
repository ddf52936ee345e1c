// The steps of a program as Python sees them.
#pragma once

#include <pybind11/pybind11.h>

#include "laminet/network/program.h"

namespace laminet {

// "steps", a dict each: what laminet.core.steps makes a result of; and how the network's Jacobian
// is multiplied out: "mode", and "first", the step that it begins with, or None.
pybind11::dict described(const Program& program);

}  // namespace laminet
