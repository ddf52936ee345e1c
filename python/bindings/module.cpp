#include <pybind11/numpy.h>

#include "bindings.h"

PYBIND11_MODULE(_core, module, pybind11::mod_gil_not_used()) {
  module.doc() = "The C++ core of laminet. Private: use the names of the package `laminet`.";
  // Now, as NumPy's functions are looked up under a lock, which a fork could leave locked.
  pybind11::detail::npy_api::get();
  laminet::register_runtime(module);
  laminet::register_functions(module);
  laminet::register_network(module);
  laminet::register_call(module);
  laminet::register_plan(module);
  laminet::register_probe(module);
  laminet::register_derivatives(module);
  laminet::register_trainer(module);
  laminet::register_least_squares(module);
}
