// What Python cannot see of derivatives: allocations, the split of the work, the tape by itself.
#include <vector>

#include "allocations.h"
#include "laminet/gemm/blas_library.h"
#include "laminet/gradients/split.h"
#include "laminet/gradients/tape.h"
#include "laminet/laminet.h"
#include "laminet/network/build.h"
#include "support.h"

namespace laminet::testing {
namespace {

// 9 -> 20 tanh -> 33 relu -> 4; forward mode is for the transposed sizes.
struct SmallNet {
  explicit SmallNet(std::vector<std::size_t> n) : sizes(std::move(n)) {
    for (std::size_t l = 0; l + 1 < sizes.size(); ++l) {
      weights.emplace_back(sizes[l + 1] * sizes[l]);
      biases.emplace_back(sizes[l + 1]);
      fill_with_integers(weights.back(), static_cast<unsigned>(l));
      fill_with_integers(biases.back(), static_cast<unsigned>(l + 10));
      for (float& w : weights.back()) w /= 16;
    }
    for (std::size_t l = 0; l < weights.size(); ++l) {
      const bool last = l + 1 == weights.size();
      layers.push_back({dense_view<const float>(weights[l].data(), sizes[l + 1], sizes[l]),
                        biases[l].data(),
                        {last ? ActivationKind::identity : ActivationKind::tanh}});
    }
  }
  std::vector<std::size_t> sizes;
  std::vector<std::vector<float>> weights;
  std::vector<std::vector<float>> biases;
  std::vector<DenseView<float>> layers;
};

std::vector<std::string> backends() {
  std::vector<std::string> names = {"tiled"};
  if (blas::library()) names.emplace_back("blas");
  return names;
}

TEST(Chain, DerivativesAllocateNothingAfterTheFirstCall) {
  const std::size_t threads = num_threads();
  set_num_threads(2);
  for (const bool reverse : {true, false}) {
    const SmallNet small(reverse ? std::vector<std::size_t>{9, 20, 33, 4}
                                 : std::vector<std::size_t>{4, 33, 20, 9});
    const Head head = reverse ? Head::none : Head::softmax;
    const Mlp<float> net(small.layers, head);
    const Derivatives<float> derivatives(net);
    const std::size_t n_in = net.in_features();
    const std::size_t n_out = net.out_features();
    for (const std::string& backend : backends()) {
      set_backend(backend);
      for (const std::size_t batch : {1u, 3u, 1500u}) {
        std::vector<float> x(batch * n_in, 0.5f), v(batch * n_out, 1.0f), y(batch * n_out);
        std::vector<float> g(batch * n_in), j(batch * n_out * n_in);
        std::vector<std::vector<float>> dw;
        std::vector<std::vector<float>> db;
        std::vector<MatrixView<float>> dw_views;
        std::vector<float*> db_views;
        for (std::size_t l = 0; l + 1 < small.sizes.size(); ++l) {
          dw.emplace_back(small.sizes[l + 1] * small.sizes[l]);
          db.emplace_back(small.sizes[l + 1]);
          dw_views.push_back(dense_view(dw[l].data(), small.sizes[l + 1], small.sizes[l]));
          db_views.push_back(db[l].data());
        }
        const auto x_view = dense_view<const float>(x.data(), batch, n_in);
        const auto v_view = dense_view<const float>(v.data(), batch, n_out);
        const auto y_view = dense_view(y.data(), batch, n_out);
        const auto g_view = dense_view(g.data(), batch, n_in);
        const auto step = static_cast<std::ptrdiff_t>(n_in);
        const MatrixStack<float> stack{
            j.data(), batch, n_out, n_in, static_cast<std::ptrdiff_t>(n_out) * step, step, 1};
        const auto run = [&] {
          derivatives.vjp(x_view, v_view, g_view);
          derivatives.jvp(x_view, x_view, y_view);
          derivatives.jacobian(x_view, y_view, stack);
          derivatives.gradients(x_view, v_view, {dw_views, db_views}, g_view);
        };
        EXPECT_TRUE(becomes_quiet(run)) << backend << " batch " << batch << " reverse " << reverse;
      }
    }
  }
  set_num_threads(threads);
  set_backend("auto");
}

TEST(Chain, TapeHoldsActivationsAndSlopes) {
  const SmallNet small({9, 20, 33, 4});
  const Mlp<float> net(small.layers);
  set_backend("tiled");
  const Program& program = net.program();
  std::vector<float> x(5 * 9);
  fill_with_integers(x, 3);
  std::vector<float> y(5 * 4), expected(5 * 4);
  Tape<float> tape;
  const auto x_view = dense_view<const float>(x.data(), 5, 9);
  tape.record(program, net.operands(net.plan(5)), x_view, dense_view(y.data(), 5, 4));
  net.forward(x_view, dense_view(expected.data(), 5, 4));
  EXPECT_EQ(y, expected);
  EXPECT_EQ(tape.samples(), 5u);
  const ConstMatrixView<float> a = tape.values()(program.steps()[1].inputs[0]);
  const ConstMatrixView<float> slopes = tape.kept()({0, 0, 20});
  for (std::size_t i = 0; i < 5; ++i) {
    for (std::size_t j = 0; j < 20; ++j) {
      EXPECT_NEAR(slopes(i, j), 1 - a(i, j) * a(i, j), 1e-6);
    }
  }
  set_backend("auto");
}

TEST(Chain, RefusesWrongShapes) {
  const SmallNet small({9, 20, 4});
  const Mlp<float> net(small.layers);
  const Derivatives<float> derivatives(net);
  std::vector<float> memory(100);
  const auto view = [&](std::size_t m, std::size_t n) { return dense_view(memory.data(), m, n); };
  EXPECT_THROW(derivatives.vjp(view(2, 8), view(2, 4), view(2, 9)), std::invalid_argument);
  EXPECT_THROW(derivatives.vjp(view(2, 9), view(2, 9), view(2, 9)), std::invalid_argument);
  EXPECT_THROW(derivatives.jvp(view(2, 9), view(1, 9), view(2, 4)), std::invalid_argument);
  EXPECT_THROW(derivatives.jacobian(view(2, 9), view(2, 4), {memory.data(), 1, 4, 9, 36, 9, 1}),
               std::invalid_argument);
  EXPECT_THROW(derivatives.layer_jacobians(view(2, 9), {}), std::invalid_argument);
  EXPECT_THROW(derivatives.gradients(view(2, 9), view(2, 4), {{}, {}}, {}), std::invalid_argument);
}

TEST(Split, ModeOfFewerOperations) {
  const Program narrowing = chain_of(std::vector<std::size_t>{17, 64, 64, 6});
  const Program widening = chain_of(std::vector<std::size_t>{6, 64, 64, 17});
  const Program even = chain_of(std::vector<std::size_t>{5, 7, 5});
  EXPECT_EQ(jacobian_rule(narrowing).mode, JacobianMode::reverse);
  EXPECT_EQ(jacobian_rule(widening).mode, JacobianMode::forward);
  EXPECT_EQ(jacobian_rule(even).mode, JacobianMode::reverse);
  EXPECT_EQ(jacobian_flops(narrowing, JacobianMode::reverse), 6.0 * 2 * (64 * 64 + 64 * 17));
  EXPECT_EQ(jacobian_flops(narrowing, JacobianMode::forward), 17.0 * 2 * (64 * 64 + 64 * 6));
}

TEST(Split, StepsOfFewRows) {
  const CacheSizes caches{.l1 = 48 << 10, .l2 = 1 << 20, .l3 = 32 << 20};
  const auto shares = [&](std::size_t batch, std::size_t rows, std::size_t weight_bytes,
                          bool from_memory = false) {
    const ChainWork work{.batch = batch,
                         .rows = rows,
                         .flops = 1e7,
                         .chain_flops = 9e6,
                         .bytes = 1000,
                         .mr = 6,
                         .threads = 2,
                         .weight_bytes = weight_bytes,
                         .steps = StepSharing{2, Wake::always, from_memory}};
    const ChainSplit split = split_chain(work, caches);
    if (split.steps) {
      EXPECT_EQ(split.block_samples, batch);
      EXPECT_EQ(split.row_groups, 1u);
    }
    return split.steps.has_value();
  };
  EXPECT_TRUE(shares(1, 10, 1 << 20));  // by samples one thread would do it all
  EXPECT_TRUE(shares(3, 10, 1 << 20));  // else 2 and 1
  EXPECT_TRUE(shares(4, 1, 1 << 20));
  EXPECT_FALSE(shares(8, 1, 1 << 20));
  EXPECT_FALSE(shares(2, 10, 1 << 20));
  EXPECT_FALSE(shares(1, 1, 1 << 19));  // threads meet too often for it
  EXPECT_TRUE(shares(8, 10, 100 << 20, true));
}

TEST(Split, SamplesOrRows) {
  const CacheSizes caches{.l1 = 48 << 10, .l2 = 1 << 20, .l3 = 32 << 20};
  const auto split = [&](std::size_t batch, double flops, std::size_t bytes) {
    return split_chain({.batch = batch,
                        .rows = 10,
                        .flops = flops,
                        .chain_flops = 0.9 * flops,
                        .bytes = bytes,
                        .mr = 6,
                        .threads = 2,
                        .weight_bytes = 1 << 20,
                        .steps = std::nullopt},
                       caches);
  };
  EXPECT_EQ(split(1, 1e4, 1000).threads, 1u);  // too little to share
  EXPECT_EQ(split(1, 1e7, 1000).row_groups, 2u);
  EXPECT_EQ(split(3, 1e7, 1000).row_groups, 2u);  // else 2 and 1
  EXPECT_EQ(split(8, 1e7, 1000).row_groups, 1u);
  EXPECT_EQ(split(8, 1e7, 1000).block_samples, 4u);
  for (const std::size_t batch : {1u, 2u, 5u, 9u, 100u, 4097u}) {
    for (const std::size_t bytes : {10u, 5000u, 10'000'000u}) {
      const ChainSplit s = split(batch, 1e6, bytes);
      EXPECT_GE(s.block_samples, 1u);
      // What a block holds fits half of L2, unless that leaves too few rows to use the weights.
      EXPECT_TRUE(s.block_samples * bytes <= caches.l2 / 2 || s.block_samples * 10 <= 60);
    }
  }
}

}  // namespace
}  // namespace laminet::testing
