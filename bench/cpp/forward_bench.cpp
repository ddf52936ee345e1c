// Whole networks, per back end, instruction set and batch, on all threads and on one.
#include <cmath>

#include "common.h"

namespace laminet::bench {
namespace {

struct Case {
  std::vector<std::size_t> sizes;
  ActivationKind hidden;
  std::vector<std::size_t> batches;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {{17, 64, 64, 6}, ActivationKind::tanh, {1, 64, 4096}},
      {{784, 256, 128, 10}, ActivationKind::relu, {1, 8, 64, 128, 1024}},
      {{784, 512, 256, 128, 10}, ActivationKind::relu, {1, 64, 4096}},
      {{32, 64, 64, 64, 64, 16}, ActivationKind::relu, {1, 4096}},
      {{479, 1024, 1024, 512, 256, 1}, ActivationKind::relu, {1, 8, 128, 2048}},
      {{1024, 4096, 4096, 1024}, ActivationKind::gelu, {1, 512}},
  };
  return all;
}

template <class T>
void forward(benchmark::State& state, const Engine& engine, const Case& c, std::size_t batch,
             std::size_t threads) {
  use(engine);
  set_num_threads(threads);
  std::vector<std::vector<T>> weights;
  std::vector<T> zeros(4096);
  std::vector<DenseView<T>> layers;
  double flops = 0.0;
  double bytes = 0.0;
  for (std::size_t l = 0; l + 1 < c.sizes.size(); ++l) {
    const std::size_t n = c.sizes[l + 1];
    const std::size_t k = c.sizes[l];
    weights.push_back(random_values<T>(n * k, static_cast<unsigned>(l)));
    for (T& w : weights.back()) w *= std::sqrt(T{2} / static_cast<T>(k));
    const bool last = l + 2 == c.sizes.size();
    layers.push_back({dense_view<const T>(weights.back().data(), n, k), zeros.data(),
                      info(last ? ActivationKind::identity : c.hidden).defaults});
    const double rows = static_cast<double>(batch);
    flops += 2.0 * rows * static_cast<double>(n * k);
    bytes += (rows * static_cast<double>(k + n) + static_cast<double>(n * k + n)) * sizeof(T);
  }
  const Mlp<T> net(layers);
  const auto x = random_values<T>(batch * net.in_features(), 9);
  std::vector<T> y(batch * net.out_features());
  for (auto _ : state) {
    net.forward(dense_view<const T>(x.data(), batch, net.in_features()),
                dense_view(y.data(), batch, net.out_features()));
    benchmark::ClobberMemory();
  }
  set_rates(state, flops, bytes, peak<T>(engine, num_threads()));
}

const std::vector<std::size_t>& thread_counts() {
  static const std::size_t all = num_threads();
  static const std::vector<std::size_t> counts =
      all > 1 ? std::vector<std::size_t>{1, all} : std::vector<std::size_t>{1};
  return counts;
}

template <class T>
void add(const char* type) {
  for (const Engine& engine : engines()) {
    for (const Case& c : cases()) {
      std::string sizes;
      for (const std::size_t n : c.sizes) {
        if (!sizes.empty()) sizes += '-';
        sizes += std::to_string(n);
      }
      for (const std::size_t batch : c.batches) {
        for (const std::size_t threads : thread_counts()) {
          const std::string name = std::string("forward/") + type + "/" + engine.backend + "/" +
                                   engine.isa + "/" + sizes + "/" + std::to_string(batch) +
                                   "/threads:" + std::to_string(threads);
          benchmark::RegisterBenchmark(name.c_str(), [=, &c](benchmark::State& state) {
            forward<T>(state, engine, c, batch, threads);
          })->UseRealTime();
        }
      }
    }
  }
}

}  // namespace

void register_networks() {
  add<float>("f32");
  add<double>("f64");
}

}  // namespace laminet::bench
