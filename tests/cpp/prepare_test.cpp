// What Python cannot see of prepare(): that the calls after it allocate nothing; and that bytes()
// are those allocated.
#include <functional>
#include <span>
#include <thread>
#include <vector>

#include "allocations.h"
#include "laminet/gemm/blas_library.h"
#include "laminet/laminet.h"
#include "support.h"

namespace laminet::testing {
namespace {

template <class T>
struct Network {
  Network(const std::vector<std::size_t>& sizes, ActivationKind kind) {
    for (std::size_t l = 0; l + 1 < sizes.size(); ++l) {
      weights.emplace_back(sizes[l + 1] * sizes[l]);
      biases.emplace_back(sizes[l + 1]);
      fill_with_integers(weights.back(), static_cast<unsigned>(l));
      fill_with_integers(biases.back(), static_cast<unsigned>(l + 10));
      for (T& w : weights.back()) w /= 16;
      layers.push_back({dense_view<const T>(weights[l].data(), sizes[l + 1], sizes[l]),
                        biases[l].data(),
                        {kind}});
    }
  }
  std::vector<std::vector<T>> weights;
  std::vector<std::vector<T>> biases;
  std::vector<DenseView<T>> layers;
};

struct Restore {
  ~Restore() {
    set_num_threads(threads);
    set_backend("auto");
  }
  std::size_t threads = num_threads();
};

// The sizes decide what runs: one thread, shared rows, shared layers; a Jacobian in reverse by
// blocks and by rows, and forward.
const std::vector<std::vector<std::size_t>> kSizes = {
    {9, 20, 33, 4}, {64, 300, 300, 40}, {40, 300, 300, 64}, {300, 700, 200}};

std::vector<std::string> backends() {
  std::vector<std::string> names = {"tiled"};
  if (blas::library()) names.emplace_back("blas");
  return names;
}

// On a thread of its own, which has no scratch yet.
void on_a_new_thread(const std::function<void()>& body) { std::thread(body).join(); }

// A thread of the team may come late; then it is asked again.
template <class Prepare>
void until_all_came(Prepare prepare) {
  for (int i = 0; i < 100; ++i) {
    if (prepare()) return;
  }
  ADD_FAILURE() << "a thread of the team never came";
}

template <class T>
void expect_forward_allocates_nothing(const Mlp<T>& net, std::size_t most) {
  std::vector<T> x(most * net.in_features(), T{1});
  std::vector<T> y(most * net.out_features());
  std::vector<std::size_t> batches = {most, 1, 2, 3, 7, 64, 200, 399, most - 1};
  on_a_new_thread([&] {
    until_all_came([&] { return net.prepare(most); });
    for (const std::size_t batch : batches) {
      if (batch < 1 || batch > most) continue;
      // Whatever the strides.
      const auto step = static_cast<std::ptrdiff_t>(batch);
      const ConstMatrixView<T> columns{x.data(), batch, net.in_features(), 1, step};
      const MatrixView<T> out{y.data(), batch, net.out_features(), 1, step};
      const long before = allocations.load();
      net.forward(dense_view<const T>(x.data(), batch, net.in_features()),
                  dense_view(y.data(), batch, net.out_features()));
      net.forward(columns, out);
      EXPECT_EQ(allocations.load() - before, 0)
          << batch << " rows after " << most << ", " << net.in_features() << " inputs, back end "
          << name(net.plan(batch).backend);
    }
  });
}

template <class T>
void forward_allocates_nothing(Precision precision = Precision::full) {
  const Restore restore;
  for (const std::size_t threads : {1, 2}) {
    set_num_threads(threads);
    for (const std::string& backend : backends()) {
      set_backend(backend);
      for (const auto& sizes : kSizes) {
        const Network<T> network(sizes, ActivationKind::relu);
        std::vector<LayerView<T>> layers;
        for (const DenseView<T>& layer : network.layers) layers.push_back({layer});
        for (const Head head : {Head::none, Head::softmax}) {
          for (const std::size_t batch : {1, 8, 400, 3000}) {
            expect_forward_allocates_nothing(
                Mlp<T>(std::span<const LayerView<T>>(layers), head, 0, precision), batch);
          }
        }
      }
    }
  }
}

TEST(Prepare, TheFirstForwardAllocatesNothing) { forward_allocates_nothing<float>(); }
TEST(Prepare, TheFirstForwardInDoubleAllocatesNothing) { forward_allocates_nothing<double>(); }
TEST(Prepare, TheFirstForwardInBfloat16AllocatesNothing) {
  forward_allocates_nothing<float>(Precision::bfloat16);
}

template <class T>
void expect_derivatives_allocate_nothing(const Mlp<T>& net, std::size_t most) {
  const std::size_t n_in = net.in_features();
  const std::size_t n_out = net.out_features();
  std::vector<T> x(most * n_in, T{1}), u(most * n_in), v(most * n_out, T{1}), y(most * n_out);
  std::vector<T> j(most * n_in * n_out);
  std::vector<std::vector<T>> memory;
  std::vector<MatrixView<T>> dw;
  std::vector<T*> db;
  std::vector<MatrixStack<T>> layers;
  for (const DenseView<T>& layer : net.layers()) {
    const std::size_t rows = layer.weight.rows;
    const std::size_t columns = layer.weight.columns;
    memory.emplace_back(rows * columns);
    dw.push_back(dense_view(memory.back().data(), rows, columns));
    memory.emplace_back(rows);
    db.push_back(memory.back().data());
    memory.emplace_back(most * rows * columns);
    const auto stride = static_cast<std::ptrdiff_t>(columns);
    layers.push_back({memory.back().data(), most, rows, columns,
                      static_cast<std::ptrdiff_t>(rows) * stride, stride, 1});
  }
  const Derivatives<T> derivatives(net);
  on_a_new_thread([&] {
    until_all_came([&] { return derivatives.prepare(most); });
    const auto run = [&](const char* what, auto call) {
      for (const std::size_t batch : {most, std::size_t{1}, most / 2 + 1, most / 3 + 1}) {
        const auto x_view = dense_view<const T>(x.data(), batch, n_in);
        const auto v_view = dense_view<const T>(v.data(), batch, n_out);
        const long before = allocations.load();
        call(batch, x_view, v_view);
        EXPECT_EQ(allocations.load() - before, 0)
            << what << " of " << batch << " after " << most << ", " << n_in << " inputs, back end "
            << name(net.plan(batch).backend);
      }
    };
    using View = ConstMatrixView<T>;
    const auto stack = [&](std::size_t batch) {
      const auto step = static_cast<std::ptrdiff_t>(n_in);
      return MatrixStack<T>{j.data(), batch, n_out, n_in, static_cast<std::ptrdiff_t>(n_out) * step,
                            step,     1};
    };
    run("layer_jacobians", [&](std::size_t batch, View x_view, View) {
      for (MatrixStack<T>& layer : layers) layer.count = batch;
      derivatives.layer_jacobians(x_view, layers);
    });
    run("jacobian", [&](std::size_t batch, View x_view, View) {
      derivatives.jacobian(x_view, dense_view(y.data(), batch, n_out), stack(batch));
    });
    run("gradients", [&](std::size_t batch, View x_view, View v_view) {
      derivatives.gradients(x_view, v_view, {dw, db}, dense_view(u.data(), batch, n_in));
    });
    run("vjp", [&](std::size_t batch, View x_view, View v_view) {
      derivatives.vjp(x_view, v_view, dense_view(u.data(), batch, n_in));
    });
    run("jvp", [&](std::size_t batch, View x_view, View) {
      derivatives.jvp(x_view, x_view, dense_view(y.data(), batch, n_out));
    });
  });
}

TEST(Prepare, TheFirstDerivativesAllocateNothing) {
  const Restore restore;
  for (const std::size_t threads : {1, 2}) {
    set_num_threads(threads);
    for (const std::string& backend : backends()) {
      set_backend(backend);
      for (const auto& sizes : kSizes) {
        const Network<float> network(sizes, ActivationKind::relu);
        for (const Head head : {Head::none, Head::softmax}) {
          const bool large = sizes[1] > 100;
          for (const std::size_t batch : {1, 3, large ? 12 : 1500}) {
            expect_derivatives_allocate_nothing(Mlp<float>(network.layers, head), batch);
          }
        }
      }
    }
  }
}

// Weights below 512 KiB, which come from operator new; above, Python compares with what the system
// says.
TEST(Prepare, BytesAreThoseAllocated) {
  const Restore restore;
  for (const std::string& backend : backends()) {
    set_backend(backend);
    for (const auto& sizes : {kSizes[0], std::vector<std::size_t>{30, 150, 150, 90}}) {
      const Network<double> network(sizes, ActivationKind::tanh);
      constexpr long kStructure = 12288;  // steps and layouts, whatever the sizes
      constexpr long kObjects = 4096;     // vectors and the like
      const long empty = allocated_bytes.load();
      const Mlp<double> net(network.layers);
      const auto given = static_cast<long>(net.bytes().given);
      EXPECT_NEAR(allocated_bytes.load() - empty, given, kStructure);
      EXPECT_EQ(net.bytes().packed, 0u);

      const auto promised = net.bytes_prepared();
      const long before = allocated_bytes.load();
      net.prepare(0);
      const auto packed = static_cast<long>(net.bytes().packed);
      EXPECT_EQ(packed > 0, backend == "tiled");
      EXPECT_NEAR(allocated_bytes.load() - before, packed, kObjects);
      EXPECT_EQ(net.bytes().given, promised.given);
      EXPECT_EQ(net.bytes().packed, promised.packed);

      const Derivatives<double> derivatives(net);
      EXPECT_EQ(derivatives.bytes().packed, 0u);
      const auto more = derivatives.bytes_prepared();
      const long then = allocated_bytes.load();
      derivatives.prepare(0);
      const auto now = derivatives.bytes();
      EXPECT_EQ(now.packed > 0, backend == "tiled");
      EXPECT_NEAR(allocated_bytes.load() - then, static_cast<long>(now.packed), kObjects);
      EXPECT_EQ(now.packed, more.packed);

      // Nothing is made twice.
      const long last = allocated_bytes.load();
      net.prepare(0);
      derivatives.prepare(0);
      EXPECT_EQ(allocated_bytes.load() - last, 0);
    }
  }
}

}  // namespace
}  // namespace laminet::testing
