// What a plan says of a layer is what the engine runs: tiles that write down their calls.
#include <algorithm>
#include <set>
#include <vector>

#include "laminet/base/thread_count.h"
#include "laminet/network/build.h"
#include "laminet/network/execute.h"
#include "laminet/network/plan.h"
#include "laminet/network/prepared.h"
#include "laminet/network/steps/steps.h"
#include "support.h"

namespace laminet::testing {
namespace {

struct Call {
  std::size_t mr, m, n, k;
  const float* a;
  const float* panel;
};

std::vector<Call>& calls() {
  static std::vector<Call> instance;
  return instance;
}

template <std::size_t mr>
void multiply(const kernels::TileArgs<float>& args, std::size_t m) {
  calls().push_back({mr, m, args.n, args.k, args.a, args.panel});
}

template <std::size_t mr>
void multiply_row(const kernels::TileArgs<float>& args, std::size_t) {
  multiply<mr>(args, 1);
}

kernels::Table<float> recording_table() {
  static const kernels::Tile<float> tiles[] = {{6, 32, multiply<6>, 2, multiply_row<6>, nullptr},
                                               {14, 8, multiply<14>, 4, multiply_row<14>, nullptr}};
  kernels::Table<float> table = *kernels::kGeneric.f32;
  table.tiles = tiles;
  table.tile_count = 2;
  return table;
}

// What ran of one layer's wide panels, or of its tail.
struct Ran {
  std::size_t mr = 0;
  std::size_t columns = 0;  // side by side for the same rows and the same depth, at most
  std::size_t depth = 0;
};

Ran ran(const std::vector<Call>& of_layer, const float* first_panel, const float* end) {
  Ran result;
  std::size_t columns = 0;
  const float* a = nullptr;
  for (const Call& call : of_layer) {
    if (call.panel < first_panel || call.panel >= end) {
      a = nullptr;
      continue;
    }
    columns = call.a == a ? columns + call.n : call.n;
    a = call.a;
    result.mr = call.mr;
    result.columns = std::max(result.columns, columns);
    result.depth = std::max(result.depth, call.k);
  }
  return result;
}

void check(const TilePlan& shown, const Ran& got, const std::string& what) {
  EXPECT_EQ(shown.mr, got.mr) << what;
  EXPECT_EQ(shown.columns, got.columns) << what;
  EXPECT_EQ(shown.depth, got.depth) << what;
}

Plan plan_of(const Program& program, std::size_t batch, std::size_t mr, std::size_t threads) {
  return make_plan({.weights = program.weights(),
                    .largest_weight = program.largest_weight(),
                    .width = program.widest_step(),
                    .batch = batch,
                    .element_size = sizeof(float),
                    .weight_size = sizeof(float),
                    .mr = mr,
                    .threads = threads,
                    .handoff = [] { return 0.0; },
                    .requested = Backend::tiled,
                    .blas_available = false,
                    .fused = true},
                   cache_sizes());
}

class PlanRuns : public ::testing::TestWithParam<std::vector<std::size_t>> {};

TEST_P(PlanRuns, AsItSays) {
  const std::vector<std::size_t>& sizes = GetParam();
  const kernels::Table<float> table = recording_table();
  std::vector<AlignedArray<float>> weights;
  std::vector<PackedWeights<float>> packed;
  std::vector<DenseOperands<float>> layers;
  packed.reserve(sizes.size());
  for (std::size_t l = 0; l + 1 < sizes.size(); ++l) {
    weights.emplace_back(sizes[l + 1] * sizes[l]);
    const auto w = dense_view<const float>(weights.back().data(), sizes[l + 1], sizes[l]);
    packed.emplace_back(w, table);
    layers.push_back({nullptr, {&packed.back(), 1}, {}, w});
  }
  const Program program = chain_of(sizes);
  const Operands<float> operands{nullptr, layers, &table, true, false};
  const std::size_t before = num_threads();
  set_num_threads(1);  // whoever's part it is, the calls come one after the other
  std::set<Split> splits;
  bool by_rows = false;  // a layer that the threads share by rows
  for (const std::size_t batch : {1u, 2u, 6u, 7u, 20u, 61u, 700u}) {
    for (const std::size_t threads : {1u, 2u, 3u}) {
      const Plan plan = plan_of(program, batch, table.tiles[0].mr, threads);
      splits.insert(plan.split);
      // Parts of a layer with one tile of rows cannot be told apart by their calls.
      if (plan.split == Split::layers && batch <= table.tiles[1].mr) continue;
      AlignedArray<float> x(batch * sizes.front()), y(batch * sizes.back());
      calls().clear();
      run_forward<float>(program, operands, plan,
                         dense_view<const float>(x.data(), batch, sizes.front()),
                         dense_view(y.data(), batch, sizes.back()));
      for (std::size_t l = 0; l < layers.size(); ++l) {
        const std::string what = "layer " + std::to_string(l) + ", batch " + std::to_string(batch) +
                                 ", threads " + std::to_string(threads);
        const PanelLayout<float>& layout = packed[l].layout();
        const LayerPlan shown = plan_layer(plan, layout, 1, sizes[l], cache_sizes());
        // A plan says what the largest share of rows does; a smaller one of a single tile takes all
        // its columns at once.
        const auto share = [&](std::size_t part) {
          return share_of_rows(batch, shown.row_parts, part).count;
        };
        const std::size_t mr = layout.body->mr;
        if (share(0) > mr && share(shown.row_parts - 1) <= mr) continue;
        const float* const body = packed[l].panel(0);
        const float* const tail = packed[l].panel(packed[l].layout().body_panels);
        const float* const end = body + layout.padded_columns() * sizes[l];
        if (layout.body_panels == 0) {
          check(shown.body, ran(calls(), tail, end), what);
        } else {
          check(shown.body, ran(calls(), body, tail), what);
          check(shown.tail, ran(calls(), tail, end), what + ", tail");
        }
        // Rows of x that go through a block of the first layer before the next one begins.
        if (l > 0) continue;
        std::size_t rows = 0;
        std::size_t at_depth = 0;
        std::set<std::size_t> seen;
        for (const Call& call : calls()) {
          if (call.panel < body || call.panel >= end) {
            seen.clear();
            continue;
          }
          const auto offset = static_cast<std::size_t>(call.a - x.data());
          if (offset % sizes.front() != at_depth) seen.clear();
          at_depth = offset % sizes.front();
          const std::size_t first = offset / sizes.front();
          for (std::size_t i = first; i < first + call.m; ++i) seen.insert(i);
          rows = std::max(rows, seen.size());
        }
        EXPECT_EQ(shown.rows, rows) << what;
        by_rows = by_rows || (plan.split == Split::layers && shown.row_parts > 1);
      }
    }
  }
  set_num_threads(before);
  EXPECT_EQ(splits.contains(Split::layers), sizes[0] > 1000) << "covered";
  EXPECT_EQ(by_rows, sizes[0] > 1000) << "covered";
}

INSTANTIATE_TEST_SUITE_P(Shapes, PlanRuns,
                         ::testing::Values(std::vector<std::size_t>{784, 70, 10},
                                           std::vector<std::size_t>{17, 64, 64, 6},
                                           std::vector<std::size_t>{3, 1, 2},
                                           std::vector<std::size_t>{40, 8, 33, 56},
                                           std::vector<std::size_t>{3000, 300, 250, 41},
                                           std::vector<std::size_t>{3000, 300, 5}));

// A norm, three equal branches, which run as one product and as one of three groups, a norm of
// each, and a residual block.
SeriesView<float> layers_of_many_kinds(std::vector<AlignedArray<float>>& memory) {
  const auto dense = [&](std::size_t n, std::size_t m) -> LayerView<float> {
    memory.emplace_back(m * n);
    return {DenseView<float>{dense_view<const float>(memory.back().data(), m, n), nullptr, {}, {}}};
  };
  const LayerView<float> norm{NormView<float>{}};
  ParallelView<float> parallel;
  for (int branch = 0; branch < 3; ++branch) {
    parallel.branches.push_back({dense(60, 300), norm, dense(300, 70)});
  }
  return {norm, {parallel}, {ResidualView<float>{{dense(210, 41), norm, dense(41, 210)}}}};
}

std::set<std::size_t>& rows_of_norms() {
  static std::set<std::size_t> instance;
  return instance;
}

TEST(PlanRunsOfManyKinds, AsItSays) {
  kernels::Table<float> table = recording_table();
  table.norm = [](const kernels::NormArgs<float>& args) { rows_of_norms().insert(args.rows); };
  std::vector<AlignedArray<float>> memory;
  const Built<float> built = build<float>(layers_of_many_kinds(memory), Head::none, 60);
  const Program& program = built.program;
  const std::vector<StepCosts> counted = costs(program);
  const Parameters<float> parameters(built.numbers.all);
  const Prepared<float> prepared(program, parameters, table, Packing::forward);
  std::vector<DenseOperands<float>> steps(program.steps().size());
  for (std::size_t s = 0; s < steps.size(); ++s) steps[s].packed = prepared[s];
  const Operands<float> operands{parameters.data(), steps, &table, true, false};
  const std::size_t before = num_threads();
  set_num_threads(1);  // whoever's part it is, the calls come one after the other
  std::set<Split> splits;
  std::size_t most_groups = 0;
  for (const std::size_t batch : {1u, 2u, 7u, 20u, 61u, 700u}) {
    for (const std::size_t threads : {1u, 2u, 3u}) {
      const Plan plan = plan_of(program, batch, table.tiles[0].mr, threads);
      splits.insert(plan.split);
      AlignedArray<float> x(batch * 60), y(batch * 210);
      calls().clear();
      rows_of_norms().clear();
      run_forward<float>(program, operands, plan, dense_view<const float>(x.data(), batch, 60),
                         dense_view(y.data(), batch, std::size_t{210}));
      const std::string where =
          ", batch " + std::to_string(batch) + ", threads " + std::to_string(threads);
      EXPECT_EQ(*rows_of_norms().rbegin(), plan_rows(plan).rows) << where;
      std::size_t flops = 0;
      for (const Call& call : calls()) flops += 2 * call.m * call.n * call.k;
      std::size_t expected = 0;
      for (const StepCosts& own : counted) expected += batch * own.forward.products;
      EXPECT_EQ(flops, expected) << where;
      // Parts of a layer with one tile of rows cannot be told apart by their calls.
      if (plan.split == Split::layers && batch <= table.tiles[1].mr) continue;
      for (std::size_t s = 0; s < steps.size(); ++s) {
        const DenseStep* const dense = program.dense(s);
        if (!dense) continue;
        most_groups = std::max(most_groups, dense->groups);
        const PanelLayout<float> layout(dense->out_features, table);
        const LayerPlan shown =
            plan_layer(plan, layout, dense->groups, dense->in_features, cache_sizes());
        for (const PackedWeights<float>& own : prepared[s]) {
          const std::string what = "step " + std::to_string(s) + where;
          const float* const body = own.panel(0);
          const float* const tail = own.panel(own.layout().body_panels);
          const float* const end = body + layout.padded_columns() * dense->in_features;
          check(shown.body, ran(calls(), body, tail), what);
          check(shown.tail, ran(calls(), tail, end), what + ", tail");
        }
      }
    }
  }
  set_num_threads(before);
  EXPECT_TRUE(splits.contains(Split::layers) && splits.contains(Split::rows));
  EXPECT_EQ(most_groups, 3u);
}

}  // namespace
}  // namespace laminet::testing
