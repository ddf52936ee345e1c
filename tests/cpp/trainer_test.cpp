// Steps of training: against the derivatives of the same network and plain loops over its
// parameters.
#include "laminet/training/trainer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "allocations.h"
#include "laminet/base/thread_count.h"
#include "laminet/gemm/backend.h"
#include "laminet/gradients/derivatives.h"
#include "support.h"
#include "trained_networks.h"

namespace laminet::testing {
namespace {

// One step of SGD at rate 1 takes the gradient of the mean loss off each parameter.
TEST(Trainer, StepsAlongTheGradients) {
  const Trained trained;
  const Mlp<float> net(std::span<const LayerView<float>>(trained.layers));
  const Derivatives<float> derivatives(net);
  set_backend("tiled");
  for (const std::size_t rows : {1u, 37u, 512u, 1100u}) {
    for (const bool weighted : {false, true}) {
      const Data data(rows, 7, 5);
      const Samples<float> samples = data.samples(weighted);
      Optimizer sgd;
      sgd.kind = Optimizer::Kind::sgd;
      Trainer<float> trainer(net, {}, sgd);
      const double before = trainer.loss(samples);
      EXPECT_EQ(trainer.step(samples, 1), before);

      std::vector<float> y(rows * 5), g(rows * 5);
      net.forward(samples.x, dense_view(y.data(), rows, 5));
      double total = 0, loss = 0;
      for (std::size_t i = 0; i < rows; ++i) total += 5 * (weighted ? data.weights[i] : 1.0);
      for (std::size_t i = 0; i < y.size(); ++i) {
        const double w = weighted ? data.weights[i / 5] : 1.0;
        const double d = y[i] - data.t[i];
        loss += w * d * d / total;
        g[i] = static_cast<float>(2 * d * w / total);
      }
      EXPECT_NEAR(before, loss, 1e-5 * loss);

      std::vector<std::vector<float>> memory;
      memory.reserve(32);
      const auto room = [&](std::size_t n) { return memory.emplace_back(n).data(); };
      std::vector<MatrixView<float>> dw;
      std::vector<float*> db;
      for (const DenseView<float>& layer : net.layers()) {
        const auto& w = layer.weight;
        dw.push_back(dense_view(room(w.rows * w.columns), w.rows, w.columns));
        db.push_back(room(w.rows));
      }
      const std::vector<std::pair<float*, float*>> norms{{room(140), room(140)}};
      const std::vector<std::pair<float*, float*>> units{{room(40), nullptr}};
      derivatives.gradients(samples.x, dense_view<const float>(g.data(), rows, 5),
                            {dw, db, norms, units}, {});

      // The scale of the losses' gradients is rounded once more here, and sums of many rows differ
      // by the rounding of their terms.
      const auto near = [&](float got, float start, float gradient) {
        EXPECT_NEAR(got, start - gradient, 2e-5 * (1 + std::abs(start) + std::abs(gradient)));
      };
      const auto row = [&](const float* of) {
        return trainer.numbers().row(static_cast<std::size_t>(of - net.parameters().data()));
      };
      for (std::size_t l = 0; l < net.layers().size(); ++l) {
        const DenseView<float>& layer = net.layers()[l];
        std::vector<float> w(dw[l].rows * dw[l].columns);
        const MatrixView<float> now = dense_view(w.data(), dw[l].rows, dw[l].columns);
        trainer.numbers().copy_weight(l, now);
        for (std::size_t i = 0; i < now.rows; ++i) {
          near(row(layer.bias)[i], layer.bias[i], db[l][i]);
          for (std::size_t j = 0; j < now.columns; ++j) {
            near(now(i, j), layer.weight(i, j), dw[l](i, j));
          }
        }
      }
      for (std::size_t j = 0; j < 140; ++j) {
        near(row(net.norms()[0].weight)[j], net.norms()[0].weight[j], norms[0].first[j]);
        near(row(net.norms()[0].bias)[j], net.norms()[0].bias[j], norms[0].second[j]);
      }
      for (std::size_t j = 0; j < 40; ++j) {
        const float* alphas = net.units()[0].units.alphas;
        near(row(alphas)[j], alphas[j], units[0].first[j]);
      }
    }
  }
  set_backend("auto");
}

// All numbers after some steps.
std::vector<float> after_steps(std::size_t threads, std::size_t rows, const Optimizer& optimizer) {
  set_num_threads(threads);
  const Trained trained;
  const Mlp<float> net(std::span<const LayerView<float>>(trained.layers));
  Trainer<float> trainer(net, {}, optimizer);
  const Data data(rows, 7, 5);
  std::vector<float> found;
  for (int i = 0; i < 5; ++i) {
    found.push_back(static_cast<float>(trainer.step(data.samples(true), 1e-2)));
  }
  for (std::size_t l = 0; l < net.layers().size(); ++l) {
    const auto& w = net.layers()[l].weight;
    std::vector<float> now(w.rows * w.columns);
    trainer.numbers().copy_weight(l, dense_view(now.data(), w.rows, w.columns));
    found.insert(found.end(), now.begin(), now.end());
  }
  return found;
}

TEST(Trainer, SameBitsForAnyThreads) {
  const std::size_t threads = num_threads();
  Optimizer adam;
  adam.clip_norm = 0.1;
  adam.decay = 0.01;
  adam.decoupled = true;
  for (const Optimizer& optimizer : {adam, muon()}) {
    for (const std::size_t rows : {64u, 1100u}) {
      const std::vector<float> one = after_steps(1, rows, optimizer);
      for (const std::size_t n : {2u, 3u}) {
        const std::vector<float> many = after_steps(n, rows, optimizer);
        for (std::size_t i = 0; i < one.size(); ++i) ASSERT_EQ(one[i], many[i]) << n << " " << rows;
      }
    }
  }
  set_num_threads(threads);
}

TEST(Trainer, AllocatesNothingAfterTheFirstStep) {
  const std::size_t threads = num_threads();
  set_num_threads(2);
  const Trained trained;
  std::vector<LayerView<float>> layers(trained.layers.begin(), trained.layers.end());
  layers.insert(layers.begin() + 1, LayerView<float>{DropoutView{0.5}});
  const Mlp<float> net(std::span<const LayerView<float>>{layers});
  for (const Optimizer& optimizer : {Optimizer{}, muon()}) {
    Trainer<float> trainer(net, {}, optimizer);
    const std::vector<double> rates(4, 1e-3);
    for (const std::size_t rows : {1100u, 64u}) {
      const Data data(rows, 7, 5);
      EXPECT_TRUE(becomes_quiet([&] { trainer.step(data.samples(false), 1e-3); })) << rows;
      EXPECT_TRUE(becomes_quiet([&] {
        trainer.epoch(data.samples(true), rows / 4, Shuffle{1, 2}, rates);
      })) << rows;
    }
  }
  set_num_threads(threads);
}

TEST(Trainer, AnEpochIsItsSteps) {
  const Trained trained;
  const Mlp<float> net(std::span<const LayerView<float>>(trained.layers));
  const Data data(1500, 7, 5);
  Optimizer adam;
  adam.clip_norm = 0.5;
  Optimizer phases = muon();  // of which a job has fewer
  phases.newton_schulz_steps = 14;
  // More steps than a job has phases for, a last batch of its own size, batches of several passes.
  for (const std::size_t batch : {11u, 64u, 700u, 1400u}) {
    for (int c = 0; c < 6; ++c) {
      Optimizer optimizer = std::array{adam, muon(), phases}[c / 2];
      optimizer.average_keep = 0.9;
      const bool weighted = c % 2 > 0;
      Trainer<float> whole(net, {}, optimizer), single(net, {}, optimizer);
      const Samples<float> samples = data.samples(weighted);
      std::vector<double> rates, losses, weights;
      for (std::size_t first = 0; first < 1500; first += batch) {
        const std::size_t rows = std::min<std::size_t>(batch, 1500 - first);
        rates.push_back(1e-3 * static_cast<double>(1 + rates.size() % 3));
        losses.push_back(single.step(rows_of(samples, first, rows), rates.back()));
        double& weight = weights.emplace_back(0);
        for (std::size_t i = 0; i < rows; ++i) {
          weight += weighted ? data.weights[first + i] : 1.0;
        }
      }
      const EpochResult result = whole.epoch(samples, batch, std::nullopt, rates);
      EXPECT_EQ(result.steps, rates.size());
      EXPECT_EQ(whole.steps(), rates.size());
      double loss = 0, weight = 0;
      for (std::size_t i = 0; i < losses.size(); ++i) {
        loss += losses[i] * weights[i];
        weight += weights[i];
      }
      EXPECT_NEAR(result.loss, loss / weight, 1e-6 * result.loss);
      EXPECT_EQ(numbers_of(net, whole), numbers_of(net, single)) << batch << " " << c;
      for (std::size_t i = 0; i < whole.numbers().size(); ++i) {
        ASSERT_EQ(whole.numbers().buffer(2)[i], single.numbers().buffer(2)[i]) << i;
      }
    }
  }
}

TEST(Trainer, ShufflesBySeedAndEpoch) {
  const Trained trained;
  const Mlp<float> net(std::span<const LayerView<float>>(trained.layers));
  const Data data(90, 7, 5);
  const auto after = [&](const std::optional<Shuffle>& shuffle, const double* weights) {
    Trainer<float> trainer(net, {}, {});
    Samples<float> samples = data.samples(false);
    samples.weights = weights;
    std::size_t rows = 90;
    if (weights) rows = static_cast<std::size_t>(std::count(weights, weights + 90, 1.0));
    trainer.epoch(samples, 20, shuffle, std::vector<double>((rows + 19) / 20, 1e-3));
    return numbers_of(net, trainer);
  };
  const auto first = after(Shuffle{1, 0}, nullptr);
  EXPECT_EQ(first, after(Shuffle{1, 0}, nullptr));
  EXPECT_NE(first, after(Shuffle{1, 1}, nullptr));
  EXPECT_NE(first, after(Shuffle{2, 0}, nullptr));
  EXPECT_NE(first, after(std::nullopt, nullptr));

  // A sample of weight 0 is as if it were not there.
  std::vector<double> weights(90, 1.0);
  std::vector<std::size_t> kept;
  for (std::size_t i = 0; i < 90; ++i) {
    if (i % 7 == 3) weights[i] = 0;
    if (weights[i] > 0) kept.push_back(i);
  }
  Data rest(kept.size(), 7, 5);
  for (std::size_t i = 0; i < kept.size(); ++i) {
    std::copy_n(data.x.data() + kept[i] * 7, 7, rest.x.data() + i * 7);
    std::copy_n(data.t.data() + kept[i] * 5, 5, rest.t.data() + i * 5);
  }
  std::vector<double> ones(kept.size(), 1.0);
  Samples<float> without = rest.samples(false);
  without.weights = ones.data();
  Trainer<float> trainer(net, {}, {});
  trainer.epoch(without, 20, Shuffle{5, 2}, std::vector<double>((kept.size() + 19) / 20, 1e-3));
  EXPECT_EQ(after(Shuffle{5, 2}, weights.data()), numbers_of(net, trainer));
}

// Two layers whose outputs lie in one panel, of which one never changes.
TEST(Trainer, FactorsOfLayersThatShareAPanel) {
  Numbers numbers;
  const LayerView<float> a{numbers.dense(5, 7, ActivationKind::tanh)};
  const LayerView<float> b{numbers.dense(5, 7, ActivationKind::tanh)};
  const std::vector<LayerView<float>> layers{{ParallelView<float>{{{a}, {b}}, Join::concat}},
                                             {numbers.dense(5, 10, ActivationKind::identity)}};
  const Mlp<float> net(layers);
  const Data data(40, 7, 5);
  Optimizer sgd;
  sgd.kind = Optimizer::Kind::sgd;
  sgd.average_keep = 0.5;
  const auto after = [&](const RateFactors& factors) {
    Trainer<float> trainer(net, {}, sgd, factors);
    trainer.step(data.samples(false), 0.25);
    return numbers_of(net, trainer);
  };
  Trainer<float> untouched(net, {}, sgd);
  const std::vector<float> start = numbers_of(net, untouched), all = after({});
  const std::vector<float> some = after({{0, 1, 0.5}, {}, {}});
  const std::size_t own = 5 * 7 + 5;
  for (std::size_t i = 0; i < own; ++i) {
    EXPECT_EQ(some[i], start[i]);
    EXPECT_EQ(some[own + i], all[own + i]);
  }
  for (std::size_t i = 2 * own; i < all.size(); ++i) {
    const float change = all[i] - start[i];
    EXPECT_NEAR(some[i] - start[i], change / 2, 1e-6f * (1 + std::abs(change)));
  }
}

TEST(Trainer, StopsBeforeAStepWhoseLossIsNotFinite) {
  const Trained trained;
  const Mlp<float> net(std::span<const LayerView<float>>(trained.layers));
  Data data(100, 7, 5);
  data.t[5 * 45] = std::numeric_limits<float>::infinity();
  Trainer<float> trainer(net, {}, {}), before(net, {}, {});
  const std::vector<double> rates(5, 1e-3);
  const EpochResult result = trainer.epoch(data.samples(false), 20, std::nullopt, rates);
  EXPECT_EQ(result.steps, 2u);
  EXPECT_FALSE(std::isfinite(result.loss));
  EXPECT_EQ(trainer.steps(), 2u);
  before.epoch(rows_of(data.samples(false), 0, 40), 20, std::nullopt, std::span(rates).first(2));
  EXPECT_EQ(numbers_of(net, trainer), numbers_of(net, before));
}

// What is asked between steps may end an epoch; then the steps before have been made, and no half.
TEST(Trainer, RefusesWhatDoesNotFit) {
  const Trained trained;
  const Mlp<float> net(std::span<const LayerView<float>>(trained.layers));
  Trainer<float> trainer(net, {}, {});
  EXPECT_THROW(trainer.step(Data(4, 6, 5).samples(false), 1), std::invalid_argument);
  EXPECT_THROW(trainer.step(Data(4, 7, 4).samples(false), 1), std::invalid_argument);
  Samples<float> none{};
  EXPECT_THROW(trainer.step(none, 1), std::invalid_argument);
  Loss quantiles;
  quantiles.kind = kernels::LossKind::quantile;
  quantiles.levels = {0.1, 0.5, 0.9};  // of 5 outputs
  EXPECT_THROW(Trainer<float>(net, quantiles, {}), std::invalid_argument);
}

}  // namespace
}  // namespace laminet::testing
