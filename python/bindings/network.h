// What is inside an object of the classes that network.cpp registers.
#pragma once

#include <pybind11/pybind11.h>

#include <string>

#include "laminet/network/mlp.h"
#include "laminet/network/precision.h"

namespace laminet {

// Throws TypeError where it is something else. Lives as long as the object does.
template <class T>
const Mlp<T>& mlp_of(const pybind11::object& network);

// The names of its inputs, a tuple of str, or None. Throws TypeError where it is something else.
template <class T>
const pybind11::object& feature_names_of(const pybind11::object& network);

// Throws std::invalid_argument where there is no such precision.
Precision as_precision(const std::string& name);

// The method `forward` of such an object, to be called without a look at its class.
struct BoundForward {
  const void* network;
  pybind11::object (*forward)(const void* network, pybind11::handle x, pybind11::handle out);
};

// Throws TypeError where it is something else. Valid as long as the object lives.
BoundForward bind_forward(pybind11::handle network);

}  // namespace laminet
