// What Python cannot see of programs: where buffers lie, what becomes one product, what is packed.
#include "laminet/network/program.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "allocations.h"
#include "laminet/laminet.h"
#include "laminet/network/build.h"
#include "laminet/network/prepared.h"
#include "support.h"

namespace laminet::testing {
namespace {

// Layers over memory of their own.
class Layers {
 public:
  LayerView<float> dense(std::size_t n, std::size_t m,
                         ActivationKind kind = ActivationKind::identity) {
    const float* w = row(n * m);
    return {DenseView<float>{dense_view(w, m, n), row(m), {kind}}};
  }
  LayerView<float> norm(std::size_t n) { return {NormView<float>{true, 0.1, row(n), row(n), n}}; }
  LayerView<float> residual(SeriesView<float> layers) {
    return {ResidualView<float>{std::move(layers)}};
  }
  LayerView<float> parallel(std::vector<SeriesView<float>> branches, Join join = Join::concat) {
    return {ParallelView<float>{std::move(branches), join}};
  }

 private:
  const float* row(std::size_t size) {
    rows_.emplace_back(size);
    fill_with_integers(rows_.back(), static_cast<unsigned>(rows_.size()));
    for (float& value : rows_.back()) value /= 16;
    return rows_.back().data();
  }
  std::vector<std::vector<float>> rows_;
};

// 6 -> 8, two blocks with a norm each, a skip of the input, an ensemble of three, a mean.
SeriesView<float> blocks(Layers& make) {
  constexpr auto relu = ActivationKind::relu;
  const auto block = [&] {
    return make.residual({make.norm(8), make.dense(8, 5, relu), make.dense(5, 8)});
  };
  const auto member = [&] {
    return SeriesView<float>{make.dense(14, 7, relu), make.norm(7), make.dense(7, 4)};
  };
  return {make.parallel({{make.dense(6, 8, relu), block(), block()}, {}}),
          make.parallel({member(), member(), member()}, Join::mean),
          make.residual({make.dense(4, 4, ActivationKind::tanh)}),
          {ActivationView<float>{{relu}}}};
}

struct Life {
  std::size_t first = SIZE_MAX;
  std::size_t last = 0;
};

// From the first step that writes a buffer to the last that reads it.
std::vector<Life> lives_of(const Program& program, std::size_t buffers) {
  std::vector<Life> lives(buffers);
  for (std::size_t s = 0; s < program.steps().size(); ++s) {
    const Step& step = program.steps()[s];
    Life& written = lives[step.output.buffer];
    written.first = std::min(written.first, s);
    for (const Columns& in : step.inputs) lives[in.buffer].last = s;
  }
  lives[Program::kInput].first = 0;
  lives[program.output().buffer].last = program.steps().size();
  return lives;
}

TEST(Program, BuffersThatAreNeededTogetherLieApart) {
  Layers make;
  const SeriesView<float> layers = blocks(make);
  const Built<float> built = build<float>(layers, Head::softmax);
  const Program& program = built.program;
  for (const Layout* layout :
       {&program.forward_layout(), &program.adjoint_layout(), &program.tape_layout()}) {
    const std::size_t buffers = layout->places.size();
    const std::vector<Life> lives = lives_of(program, buffers);
    std::size_t compared = 0;
    for (std::size_t a = 0; a < buffers; ++a) {
      for (std::size_t b = 0; b < a; ++b) {
        const Place& x = layout->places[a];
        const Place& y = layout->places[b];
        const bool in_memory = x.where == Place::Where::memory && y.where == Place::Where::memory;
        // One that ends where the other begins may give it its place.
        const bool together = lives[a].first < lives[b].last && lives[b].first < lives[a].last;
        if (!in_memory || !together) continue;
        ++compared;
        EXPECT_TRUE(x.start + x.stride <= y.start || y.start + y.stride <= x.start)
            << a << " and " << b;
      }
    }
    EXPECT_GT(compared, 3u);
  }
}

TEST(Program, ATapeKeepsWhatWeightsGradientsRead) {
  Layers make;
  const SeriesView<float> layers = blocks(make);
  const Built<float> built = build<float>(layers, Head::none);
  const Program& program = built.program;
  const Layout& tape = program.tape_layout();
  for (std::size_t s = 0; s < program.steps().size(); ++s) {
    if (!program.dense(s)) continue;
    const Place& read = tape.places[program.steps()[s].inputs[0].buffer];
    for (std::size_t later = s; later < program.steps().size(); ++later) {
      const Place& written = tape.places[program.steps()[later].output.buffer];
      if (read.where != Place::Where::memory || written.where != Place::Where::memory) continue;
      EXPECT_NE(read.start, written.start) << "steps " << s << " and " << later;
    }
  }
}

TEST(Program, EqualBranchesAreOneProductOfGroups) {
  Layers make;
  const auto member = [&] { return SeriesView<float>{make.dense(9, 7), make.dense(7, 4)}; };
  const SeriesView<float> layers = {make.parallel({member(), member(), member()})};
  const Built<float> built = build<float>(layers, Head::none);
  const Program& program = built.program;
  ASSERT_EQ(program.steps().size(), 2u);
  EXPECT_EQ(program.dense(0)->groups, 1u);
  EXPECT_EQ(program.dense(0)->out_features, 21u);
  EXPECT_EQ(program.dense(1)->groups, 3u);
  EXPECT_EQ(program.dense(1)->in_features, 7u);
}

TEST(Program, AResidualSumIsTheEndOfItsProduct) {
  Layers make;
  const SeriesView<float> layers = {
      make.dense(3, 8), make.residual({make.dense(8, 5), make.dense(5, 8)}), make.dense(8, 2)};
  const Built<float> built = build<float>(layers, Head::none);
  const Program& program = built.program;
  ASSERT_EQ(program.steps().size(), 4u);
  EXPECT_EQ(program.steps()[2].inputs.size(), 2u);
  const auto start = [&](const Columns& columns) {
    return program.forward_layout().places[columns.buffer].start;
  };
  // Written over what is added, which nobody reads any more.
  EXPECT_EQ(start(program.steps()[2].output), start(program.steps()[2].inputs[1]));
}

TEST(Program, BranchesGiveTheBitsOfNetworksOfTheirOwn) {
  Layers make;
  const SeriesView<float> a = {make.dense(9, 70, ActivationKind::tanh), make.dense(70, 5)};
  const SeriesView<float> b = {make.dense(9, 70, ActivationKind::tanh), make.dense(70, 5)};
  const SeriesView<float> both = {make.parallel({a, b})};
  const Mlp<float> joined{std::span<const LayerView<float>>(both)};
  const std::size_t threads = num_threads();
  set_backend("tiled");
  for (const std::size_t batch : {1u, 3u, 300u}) {
    std::vector<float> x(batch * 9), y(batch * 10), own(batch * 5);
    fill_with_integers(x, 5);
    const auto x_view = dense_view<const float>(x.data(), batch, 9);
    for (const std::size_t n : {1u, 2u}) {
      set_num_threads(std::min(n, max_threads()));
      joined.forward(x_view, dense_view(y.data(), batch, 10));
      for (const auto* branch : {&a, &b}) {
        const Mlp<float> alone{std::span<const LayerView<float>>(*branch)};
        alone.forward(x_view, dense_view(own.data(), batch, 5));
        for (std::size_t i = 0; i < batch; ++i) {
          const float* part = y.data() + i * 10 + (branch == &a ? 0 : 5);
          EXPECT_EQ(std::memcmp(part, own.data() + i * 5, 5 * sizeof(float)), 0);
        }
      }
    }
  }
  set_num_threads(threads);
  set_backend("auto");
}

TEST(Program, BlocksAllocateNothingAfterTheFirstCall) {
  Layers make;
  const SeriesView<float> layers = blocks(make);
  const Mlp<float> net{std::span<const LayerView<float>>(layers), Head::log_softmax};
  const Derivatives<float> derivatives(net);
  for (const std::size_t batch : {1u, 3u, 1500u}) {
    std::vector<float> x(batch * 6, 0.5f), v(batch * 4, 1.0f), y(batch * 4), g(batch * 6);
    std::vector<float> j(batch * 24);
    const auto x_view = dense_view<const float>(x.data(), batch, 6);
    const auto v_view = dense_view<const float>(v.data(), batch, 4);
    const auto run = [&] {
      net.forward(x_view, dense_view(y.data(), batch, 4));
      derivatives.vjp(x_view, v_view, dense_view(g.data(), batch, 6));
      derivatives.jvp(x_view, x_view, dense_view(y.data(), batch, 4));
      derivatives.jacobian(x_view, {}, {j.data(), batch, 4, 6, 24, 6, 1});
    };
    EXPECT_TRUE(becomes_quiet(run)) << "batch " << batch;
  }
}

TEST(Program, LayerJacobiansAreWithoutTheFunctionThatFollows) {
  Layers make;
  const SeriesView<float> layers = {make.dense(3, 4),
                                    {ActivationView<float>{{ActivationKind::relu}}},
                                    make.dense(4, 4, ActivationKind::relu)};
  const Mlp<float> net{std::span<const LayerView<float>>(layers)};
  const std::vector<float> x = {-1, 0, 2};
  std::vector<float> first(12), second(16);
  const MatrixStack<float> stacks[] = {{first.data(), 1, 4, 3, 12, 3, 1},
                                       {second.data(), 1, 4, 4, 16, 4, 1}};
  Derivatives<float>(net).layer_jacobians(dense_view(x.data(), 1, 3), stacks);
  EXPECT_TRUE(std::equal(first.begin(), first.end(), net.layers()[0].weight.data));
  EXPECT_FALSE(std::equal(second.begin(), second.end(), net.layers()[1].weight.data));
}

TEST(Prepared, IsRefreshedInPlace) {
  const Program program = chain_of(std::vector<std::size_t>{9, 70, 5});
  Parameters<float> parameters(9 * 70 + 70 * 5 + 64);
  const kernels::Table<float>& table = *kernels::kGeneric.f32;
  const auto change = [&](float value) {
    for (std::size_t s = 0; s < 2; ++s) {
      const MatrixView<float> w = parameters.change(program.dense(s)->weight);
      for (std::size_t i = 0; i < w.rows; ++i) {
        for (std::size_t k = 0; k < w.columns; ++k) {
          w(i, k) = value + static_cast<float>(7 * i + k);
        }
      }
    }
  };
  change(1);
  for (const Packing packing : {Packing::forward, Packing::transposed}) {
    Prepared<float> prepared(program, parameters, table, packing);
    const float* const place = prepared[1][0].panel(0);
    change(static_cast<float>(prepared.version()));
    EXPECT_NE(prepared.version(), parameters.version());
    prepared.refresh(parameters);
    EXPECT_EQ(prepared.version(), parameters.version());
    EXPECT_EQ(prepared[1][0].panel(0), place);
    const Prepared<float> fresh(program, parameters, table, packing);
    for (std::size_t s = 0; s < 2; ++s) {
      const PackedWeights<float>& own = prepared[s][0];
      const std::size_t elements = own.layout().padded_columns() * own.k();
      EXPECT_EQ(std::memcmp(own.panel(0), fresh[s][0].panel(0), elements * sizeof(float)), 0);
    }
  }
}

}  // namespace
}  // namespace laminet::testing
