// The type that laminet.MLP inherits from: net(x) and net.forward(x) enter C++ directly.
//
// A method of a pybind11 class behind one of Python costs 0.25 us a call more, as much as the
// arithmetic of a small network for one sample. From Python 3.12 on MLP inherits the vectorcall;
// before, a tuple is made of the arguments (0.02 us).
#include <pybind11/pybind11.h>
#include <structmember.h>

#if defined(__GLIBCXX__)
#include <cxxabi.h>
#endif

#include <cstddef>
#include <utility>

#include "bindings.h"
#include "network.h"

namespace laminet {
namespace {

namespace py = pybind11;

struct NetworkCall {
  PyObject head;
  vectorcallfunc call;
  PyObject* core;  // a NetworkF32 or NetworkF64; null until __init__
  BoundForward bound;
};

NetworkCall* of(PyObject* self) { return reinterpret_cast<NetworkCall*>(self); }

// body(), its exceptions turned into Python's by the rules of pybind11.
template <class Body>
auto translated(decltype(std::declval<Body>()()) failed, Body body) {
  try {
    return body();
  }
#if defined(__GLIBCXX__)
  catch (abi::__forced_unwind&) {
    throw;
  }
#endif
  catch (...) {
    py::detail::try_translate_exceptions();
    return failed;
  }
}

int init(PyObject* self, PyObject* args, PyObject* names) {
  return translated(-1, [&] {
    PyObject* core = nullptr;
    const bool named = names && PyDict_GET_SIZE(names) > 0;
    if (named || !PyArg_ParseTuple(args, "O", &core)) {
      throw py::type_error("NetworkCall takes one argument, a NetworkF32 or NetworkF64");
    }
    // Another core would free the one that a thread without the GIL may be working with.
    if (of(self)->core) throw py::type_error("a network never changes: __init__ ran before");
    of(self)->bound = bind_forward(core);
    of(self)->core = Py_NewRef(core);
    return 0;
  });
}

// The arguments (x, *, out=None); false with an exception set where they are others.
bool parse(PyObject* const* args, Py_ssize_t count, PyObject* names, PyObject*& x, PyObject*& out) {
  const auto fail = [](const char* format, auto... what) {
    PyErr_Format(PyExc_TypeError, format, what...);
    return false;
  };
  if (count > 1)
    return fail("a network takes 1 positional argument, 'x', but %zd were given", count);
  if (count == 1) x = args[0];
  for (Py_ssize_t i = 0; names && i < PyTuple_GET_SIZE(names); ++i) {
    PyObject* const name = PyTuple_GET_ITEM(names, i);
    if (PyUnicode_CompareWithASCIIString(name, "out") == 0) {
      out = args[count + i];
    } else if (PyUnicode_CompareWithASCIIString(name, "x") != 0) {
      return fail("a network got an unexpected keyword argument '%U'", name);
    } else if (x) {
      return fail("a network got multiple values for argument 'x'");
    } else {
      x = args[count + i];
    }
  }
  return x ? true : fail("a network takes 1 positional argument, 'x', but none was given");
}

PyObject* forward(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  PyObject* x = nullptr;
  PyObject* out = Py_None;
  if (!parse(args, count, names, x, out)) return nullptr;
  if (!of(self)->core) {
    PyErr_Format(PyExc_TypeError, "%s.__init__ was not called", Py_TYPE(self)->tp_name);
    return nullptr;
  }
  const BoundForward bound = of(self)->bound;
  return translated(static_cast<PyObject*>(nullptr),
                    [&] { return bound.forward(bound.network, x, out).release().ptr(); });
}

PyObject* call(PyObject* self, PyObject* const* args, std::size_t count, PyObject* names) {
  return forward(self, args, PyVectorcall_NARGS(count), names);
}

PyObject* create(PyTypeObject* type, PyObject*, PyObject*) {
  PyObject* const self = type->tp_alloc(type, 0);
  if (self) of(self)->call = call;
  return self;
}

int traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(of(self)->core);
  Py_VISIT(Py_TYPE(self));
  return 0;
}

int clear(PyObject* self) {
  Py_CLEAR(of(self)->core);
  return 0;
}

void deallocate(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

constexpr char kDoc[] = R"(forward($self, x, *, out=None)
--

Return the network's outputs.

Parameters
----------
x : array_like of shape (in_features,) or (batch, in_features)
    One sample or a batch, which may be empty. An array of the network's dtype is read in place
    whatever its strides; other real dtypes, byte orders and nested lists are converted. Never
    written to, never kept.
out : ndarray, optional
    Where to put the result: exactly its shape and dtype, writeable, any strides. It may overlap
    `x`; the result is then computed elsewhere and copied.

Returns
-------
ndarray of shape (out_features,) or (batch, out_features)
    `out` where given.

Raises
------
ValueError
    If a shape is wrong, or `out` is not as described.
TypeError
    If `x` is masked or does not hold real numbers, or `out` is not an array.)";

}  // namespace

void register_call(py::module_& module) {
  constexpr int kFlags = METH_FASTCALL | METH_KEYWORDS;
  const auto function = reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(forward));
  static PyMethodDef methods[] = {{"forward", function, kFlags, kDoc}, {}};
  static PyMemberDef members[] = {
      {"__vectorcalloffset__", T_PYSSIZET, offsetof(NetworkCall, call), READONLY, nullptr},
      {"_core", T_OBJECT, offsetof(NetworkCall, core), READONLY, nullptr},
      {}};
  static PyType_Slot slots[] = {{Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
                                {Py_tp_new, reinterpret_cast<void*>(create)},
                                {Py_tp_methods, methods},
                                {Py_tp_members, members},
                                {Py_tp_init, reinterpret_cast<void*>(init)},
                                {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
                                {Py_tp_clear, reinterpret_cast<void*>(clear)},
                                {Py_tp_dealloc, reinterpret_cast<void*>(deallocate)},
                                {0, nullptr}};
  static PyType_Spec spec = {
      "laminet._core.NetworkCall", sizeof(NetworkCall), 0,
      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
      slots};
  module.attr("NetworkCall") = py::reinterpret_steal<py::object>(PyType_FromSpec(&spec));
}

}  // namespace laminet
