#include <pybind11/stl.h>

#include <cstdint>
#include <string>
#include <utility>

#include "bindings.h"
#include "laminet/base/cpu_info.h"
#include "laminet/base/thread_count.h"
#include "laminet/base/version.h"
#include "laminet/gemm/backend.h"
#include "laminet/gemm/blas_library.h"
#include "laminet/kernels/activation.h"
#include "laminet/kernels/dispatch.h"
#include "laminet/kernels/table.h"

namespace laminet {
namespace {

namespace py = pybind11;

std::string compiler() {
#if defined(__clang__)
  return "Clang " __clang_version__;
#else
  return "GCC " __VERSION__;
#endif
}

// The BLAS library, or None with the reason under "error".
py::dict blas_info() {
  py::dict result;
  if (const blas::LibraryInfo* library = blas::library()) {
    result["name"] = library->name;
    result["version"] = library->version;
    result["core"] = library->core;
    result["path"] = library->path;
  } else {
    result["error"] = blas::load_error();
  }
  return result;
}

// {name: {parameter: default}}: the table of activation.h.
py::dict activations() {
  py::dict result;
  for (const ActivationInfo& row : kActivations) {
    py::dict parameters;
    if (row.has_alpha) parameters["alpha"] = row.defaults.alpha;
    if (row.has_beta) parameters["beta"] = row.defaults.beta;
    result[py::str(std::string(row.name))] = parameters;
  }
  return result;
}

}  // namespace

void register_runtime(py::module_& module) {
  module.attr("__version__") = LAMINET_VERSION;
  module.def("compiler", &compiler);
  module.def("cpu_name", &cpu_name);
  module.def("allowed_cpus", &allowed_cpus);
  module.def("blas_info", &blas_info);
  module.def("activations", &activations);

  module.def("backend", [] { return std::string(name(backend())); });
  module.def("set_backend", [](const std::string& name) { set_backend(name); }, py::arg("name"));

  module.def("num_threads", [] { return thread_count().count; });
  module.def("threads_source", [] { return std::string(thread_count().source); });
  module.def("set_num_threads", &set_num_threads, py::arg("count"));
  module.def("thread_setting", [] {
    const ThreadSetting setting = thread_setting();
    return std::pair(setting.count, setting.limit);
  });
  module.def(
      "set_thread_setting",
      [](std::pair<std::uint32_t, std::uint32_t> setting) {
        set_thread_setting({setting.first, setting.second});
      },
      py::arg("setting"));

  module.def("isa", [] { return std::string(kernels::active_instruction_set().name); });
  module.def(
      "set_isa", [](const std::string& name) { kernels::set_instruction_set(name); },
      py::arg("name"));
  module.def("available_isas", &kernels::available_instruction_sets);
}

}  // namespace laminet
