// Memory of arrays that stays where it is while other threads may run Python.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <initializer_list>
#include <vector>

namespace laminet {

// While it lives, nobody can free the memory of these arrays by resize(refcheck=False): NumPy
// refuses that for an array to which there is a weak reference. (A buffer that is held would not
// do.) For views that are used where the GIL is released, or other Python code is called in
// between.
class Pin {
 public:
  template <class Arrays = std::initializer_list<pybind11::handle>>
  explicit Pin(const Arrays& arrays) {
    namespace detail = pybind11::detail;
    for (pybind11::handle array : arrays) {
      // And those whose memory it shows.
      while (array && detail::npy_api::get().PyArray_Check_(array.ptr())) {
        references_.push_back(pybind11::weakref(array));
        array = detail::array_proxy(array.ptr())->base;
      }
    }
  }

 private:
  std::vector<pybind11::object> references_;
};

}  // namespace laminet
