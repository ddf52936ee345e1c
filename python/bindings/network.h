// The network inside an object of the classes that network.cpp registers.
#pragma once

#include <pybind11/pybind11.h>

#include "laminet/network/mlp.h"

namespace laminet {

// Throws TypeError where it is something else. Lives as long as the object does.
template <class T>
const Mlp<T>& mlp_of(const pybind11::object& network);

}  // namespace laminet
