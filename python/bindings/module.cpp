#include "bindings.h"

PYBIND11_MODULE(_core, module, pybind11::mod_gil_not_used()) {
  module.doc() = "The C++ core of laminet. Private: use the names of the package `laminet`.";
  laminet::register_runtime(module);
  laminet::register_functions(module);
  laminet::register_network(module);
  laminet::register_call(module);
  laminet::register_plan(module);
  laminet::register_probe(module);
  laminet::register_derivatives(module);
}
