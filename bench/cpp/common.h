// What the benchmarks share: the cases, and rates as counters.
#pragma once

#include <benchmark/benchmark.h>

#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "laminet/gemm/blas_library.h"
#include "laminet/laminet.h"
#include "laminet/probe/probe.h"

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

// The FMA peak of the engine's instruction set, measured once.
template <class T>
double peak(const Engine& engine, std::size_t threads) {
  static std::map<std::pair<std::string, std::size_t>, double> known;
  const auto [entry, fresh] = known.try_emplace({engine.isa, threads}, 0.0);
  if (fresh) {
    kernels::set_instruction_set(engine.isa);
    entry->second = probe::fma_rate<T>(kernels::active_instruction_set(), threads, 0.2).value;
  }
  return entry->second;
}

// FLOP/s and bytes/s of what one iteration did, and the share of the FMA peak that it reached.
inline void set_rates(benchmark::State& state, double flops, double bytes, double peak) {
  const auto rate = [](double amount) {
    return benchmark::Counter(amount, benchmark::Counter::kIsIterationInvariantRate,
                              benchmark::Counter::kIs1000);
  };
  state.counters["FLOP/s"] = rate(flops);
  state.counters["bytes/s"] = rate(bytes);
  state.counters["of peak"] = rate(flops / peak);
}

void register_layers();
void register_networks();

}  // namespace laminet::bench
