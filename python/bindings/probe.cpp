#include "laminet/probe/probe.h"

#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings.h"
#include "laminet/base/check.h"
#include "laminet/base/cpu_info.h"
#include "laminet/base/thread_count.h"
#include "laminet/kernels/activation.h"
#include "laminet/kernels/dispatch.h"
#include "laminet/kernels/table.h"
#include "release_gil.h"

namespace laminet {
namespace {

namespace py = pybind11;

// All of these run for milliseconds, whatever they are asked for.
constexpr double kAlwaysRelease = 1e9;

// (figure, least part of the time in which a thread had a CPU)
using Measured = std::pair<double, double>;

Measured pair_of(const probe::Measurement& measurement) {
  return {measurement.value, measurement.cpu_share};
}

template <class T>
Measured fma_rate(const std::string& isa, std::size_t threads, double seconds) {
  const kernels::InstructionSet& set = kernels::instruction_set(isa);
  const MaybeReleaseGil release(kAlwaysRelease);
  return pair_of(probe::fma_rate<T>(set, threads, seconds));
}

Measured bfloat16_rate(const std::string& isa, std::size_t threads, double seconds) {
  const kernels::InstructionSet& set = kernels::instruction_set(isa);
  const MaybeReleaseGil release(kAlwaysRelease);
  return pair_of(probe::bfloat16_rate(set, threads, seconds));
}

template <class T>
Measured fma_latency(const std::string& isa, double seconds) {
  const kernels::InstructionSet& set = kernels::instruction_set(isa);
  const MaybeReleaseGil release(kAlwaysRelease);
  return pair_of(probe::fma_latency<T>(set, seconds));
}

template <class T>
Measured activation_time(const std::string& isa, const std::string& name, double seconds) {
  const kernels::InstructionSet& set = kernels::instruction_set(isa);
  const std::optional<ActivationKind> kind = find_activation(name);
  require(kind.has_value(), "unknown activation '", name, "'");
  const MaybeReleaseGil release(kAlwaysRelease);
  return pair_of(probe::activation_time<T>(set, *kind, seconds));
}

Measured read_rate(const std::string& isa, std::size_t bytes, std::size_t threads, double seconds) {
  const kernels::InstructionSet& set = kernels::instruction_set(isa);
  const MaybeReleaseGil release(kAlwaysRelease);
  return pair_of(probe::read_rate(set, bytes, threads, seconds));
}

Measured handoff_time(std::size_t threads, double seconds) {
  const MaybeReleaseGil release(kAlwaysRelease);
  return pair_of(probe::handoff_time(threads, seconds));
}

// (elements of a vector, independent multiply-adds under way in fma_rate)
template <class T>
std::pair<std::size_t, std::size_t> fma_shape(const std::string& isa) {
  const kernels::ProbeLoops<T>& loops = kernels::instruction_set(isa).table<T>().probe;
  return {loops.lanes, loops.fma_chains};
}

// (level, bytes, how many CPUs share it)
std::vector<std::tuple<int, std::size_t, std::size_t>> caches() {
  std::vector<std::tuple<int, std::size_t, std::size_t>> result;
  for (const CacheLevel& cache : cache_levels()) {
    result.emplace_back(cache.level, cache.bytes, cache.shared_by);
  }
  return result;
}

}  // namespace

void register_probe(py::module_& module) {
  module.def("cache_levels", &caches);
  module.def("available_memory", &available_memory);
  module.def("max_threads", [] {
    (void)thread_count();  // asks for the CPUs of now
    return max_threads();
  });
  module.def("fma_shape_f32", &fma_shape<float>, py::arg("isa"));
  module.def("fma_shape_f64", &fma_shape<double>, py::arg("isa"));
  module.def("fma_rate_f32", &fma_rate<float>, py::arg("isa"), py::arg("threads"),
             py::arg("seconds"));
  module.def("fma_rate_f64", &fma_rate<double>, py::arg("isa"), py::arg("threads"),
             py::arg("seconds"));
  module.def("bfloat16_rate", &bfloat16_rate, py::arg("isa"), py::arg("threads"),
             py::arg("seconds"));
  module.def("fma_latency_f32", &fma_latency<float>, py::arg("isa"), py::arg("seconds"));
  module.def("fma_latency_f64", &fma_latency<double>, py::arg("isa"), py::arg("seconds"));
  module.def("activation_time_f32", &activation_time<float>, py::arg("isa"), py::arg("name"),
             py::arg("seconds"));
  module.def("activation_time_f64", &activation_time<double>, py::arg("isa"), py::arg("name"),
             py::arg("seconds"));
  module.def("read_rate", &read_rate, py::arg("isa"), py::arg("bytes"), py::arg("threads"),
             py::arg("seconds"));
  module.def("handoff_time", &handoff_time, py::arg("threads"), py::arg("seconds"));
}

}  // namespace laminet
