// One product: gemv (one sample) and gemm (a batch), per back end, instruction set, type and shape.
#include "common.h"
#include "laminet/gemm/gemm.h"
#include "laminet/kernels/table.h"

namespace laminet::bench {
namespace {

struct Shape {
  std::size_t m, n, k;  // batch, out_features, in_features
};

// gemv where m = 1. The weights of the first shapes fit L1, then L2, L3 and memory.
constexpr Shape kShapes[] = {{1, 64, 64},    {1, 256, 784},    {1, 1024, 1024}, {1, 4096, 4096},
                             {8, 256, 784},  {64, 64, 64},     {64, 256, 784},  {64, 1024, 1024},
                             {512, 10, 128}, {512, 1024, 1024}};

template <class T>
void product(benchmark::State& state, const Engine& engine, const Shape& shape) {
  use(engine);
  const auto x = random_values<T>(shape.m * shape.k, 1);
  const auto w = random_values<T>(shape.n * shape.k, 2);
  std::vector<T> y(shape.m * shape.n);
  const auto x_view = dense_view<const T>(x.data(), shape.m, shape.k);
  const auto w_view = dense_view<const T>(w.data(), shape.n, shape.k);
  const auto y_view = dense_view(y.data(), shape.m, shape.n);
  const kernels::Table<T>& table = kernels::active_instruction_set().table<T>();
  const PackedWeights<T> packed(w_view, table);
  for (auto _ : state) {
    if (engine.backend == "tiled") {
      tiled_layer<T>(x_view, packed, nullptr, Activation{}, y_view);
    } else {
      blas_layer<T>(x_view, w_view, false, nullptr, Activation{}, table, y_view);
    }
    benchmark::ClobberMemory();
  }
  const auto m = static_cast<double>(shape.m);
  const auto n = static_cast<double>(shape.n);
  const auto k = static_cast<double>(shape.k);
  set_rates(state, 2.0 * m * n * k, (m * k + n * k + m * n) * sizeof(T), peak<T>(engine, 1));
}

template <class T>
void add(const char* type) {
  for (const Engine& engine : engines()) {
    for (const Shape& s : kShapes) {
      const std::string name = std::string(s.m == 1 ? "gemv/" : "gemm/") + type + "/" +
                               engine.backend + "/" + engine.isa + "/" + std::to_string(s.m) + "x" +
                               std::to_string(s.n) + "x" + std::to_string(s.k);
      benchmark::RegisterBenchmark(
          name.c_str(), [engine, s](benchmark::State& state) { product<T>(state, engine, s); });
    }
  }
}

}  // namespace

// One thread: what the kernels do, without the team.
void register_layers() {
  add<float>("f32");
  add<double>("f64");
}

}  // namespace laminet::bench
