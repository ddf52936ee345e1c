// One register_* function per topic; module.cpp lists them.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <utility>

namespace laminet {

// The object of Python that owns `value`, of a class of pybind11. Where pybind11 makes it of a
// function's result, it takes memory that Python could not give for the object, and frees the value
// twice where it cannot register it.
template <class Class>
pybind11::object owned(std::unique_ptr<Class> value) {
  namespace detail = pybind11::detail;
  const auto* const info = detail::get_type_info(typeid(Class));
  auto object = pybind11::reinterpret_steal<pybind11::object>(info->type->tp_alloc(info->type, 0));
  if (!object) throw pybind11::error_already_set();
  auto* const instance = reinterpret_cast<detail::instance*>(object.ptr());
  instance->allocate_layout();
  void*& pointer = instance->get_value_and_holder(info).value_ptr();
  pointer = value.get();
  try {
    info->init_instance(instance, &value);  // takes what `value` owns
  } catch (...) {
    pointer = nullptr;
    throw;
  }
  return object;
}

// Lets a class be made by its function `make` alone. Of what T.__new__(T) gives without an __init__
// pybind11 takes uninitialised memory for the object.
template <class Class>
void only_by_make(Class& type) {
  reinterpret_cast<PyTypeObject*>(type.ptr())->tp_new = [](PyTypeObject* self, PyObject*,
                                                           PyObject*) -> PyObject* {
    PyErr_Format(PyExc_TypeError, "%s is made by %s.make", self->tp_name, self->tp_name);
    return nullptr;
  };
}

void register_runtime(pybind11::module_& module);        // back end, threads, what this build has
void register_functions(pybind11::module_& module);      // linear
void register_network(pybind11::module_& module);        // NetworkF32, NetworkF64
void register_call(pybind11::module_& module);           // NetworkCall
void register_derivatives(pybind11::module_& module);    // DerivativesF32, DerivativesF64
void register_least_squares(pybind11::module_& module);  // LeastSquares
void register_trainer(pybind11::module_& module);        // TrainerF32, TrainerF64
void register_plan(pybind11::module_& module);           // how a batch is worked through
void register_probe(pybind11::module_& module);          // what the machine can do

}  // namespace laminet
