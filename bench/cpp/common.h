// What the benchmarks share: the cases, and rates as counters.
#pragma once

#include <benchmark/benchmark.h>

#include <random>
#include <string>
#include <vector>

#include "laminet/gemm/blas.h"
#include "laminet/laminet.h"

namespace laminet::bench {

struct Engine {
  std::string backend;  // "tiled" or "blas"
  std::string isa;      // of the tiled kernels; for blas, of the activations alone
};

// The tiled back end on every instruction set of this CPU, and BLAS where there is one.
inline std::vector<Engine> engines() {
  std::vector<Engine> all;
  for (const std::string& isa : kernels::available_instruction_sets()) {
    all.push_back({"tiled", isa});
  }
  if (blas::library()) all.push_back({"blas", kernels::available_instruction_sets().back()});
  return all;
}

inline void use(const Engine& engine) {
  kernels::set_instruction_set(engine.isa);
  set_backend(engine.backend);
}

template <class T>
std::vector<T> random_values(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<T> normal;
  std::vector<T> values(size);
  for (T& x : values) x = normal(random);
  return values;
}

// FLOP/s and bytes/s of what one iteration did.
inline void set_rates(benchmark::State& state, double flops, double bytes) {
  const auto rate = [](double amount) {
    return benchmark::Counter(amount, benchmark::Counter::kIsIterationInvariantRate,
                              benchmark::Counter::kIs1000);
  };
  state.counters["FLOP/s"] = rate(flops);
  state.counters["bytes/s"] = rate(bytes);
}

void register_layers();
void register_networks();

}  // namespace laminet::bench
