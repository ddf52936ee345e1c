// Steps of training: against the derivatives of the same network and plain loops over its
// parameters.
#include "laminet/training/trainer.h"

#include <cmath>
#include <random>
#include <vector>

#include "allocations.h"
#include "laminet/base/thread_count.h"
#include "laminet/gemm/backend.h"
#include "laminet/gradients/derivatives.h"
#include "support.h"

namespace laminet::testing {
namespace {

// Numbers of a network with all that can be trained: 7 -> [two branches of 70, joined] -> a
// LayerNorm -> 40 with an alpha for each unit -> 5.
struct Numbers {
  std::vector<std::vector<float>> all;

  float* random(std::size_t n, double scale) {
    std::mt19937 engine(static_cast<unsigned>(all.size()));
    std::normal_distribution<double> normal(0, scale);
    for (float& v : all.emplace_back(n)) v = static_cast<float>(normal(engine));
    return all.back().data();
  }
  DenseView<float> dense(std::size_t out, std::size_t in, ActivationKind kind, bool units = false) {
    DenseView<float> view;
    view.weight = dense_view<const float>(random(out * in, 1 / std::sqrt(double(in))), out, in);
    view.bias = random(out, 0.1);
    view.activation.kind = kind;
    if (units) view.units.alphas = random(out, 0.3);
    return view;
  }
};

struct Trained {
  Numbers numbers;
  std::vector<LayerView<float>> layers;
  Trained() {
    const LayerView<float> a{numbers.dense(70, 7, ActivationKind::tanh)};
    const LayerView<float> b{numbers.dense(70, 7, ActivationKind::tanh)};
    layers.push_back({ParallelView<float>{{{a}, {b}}, Join::concat}});
    NormView<float> norm;
    norm.weight = numbers.random(140, 1);
    norm.bias = numbers.random(140, 1);
    norm.features = 140;
    layers.push_back({norm});
    layers.push_back({numbers.dense(40, 140, ActivationKind::leaky_relu, true)});
    layers.push_back({numbers.dense(5, 40, ActivationKind::identity)});
  }
};

struct Data {
  std::size_t rows;
  std::vector<float> x, t;
  std::vector<double> weights;
  Data(std::size_t m, std::size_t n, std::size_t out) : rows(m) {
    std::mt19937 engine(3);
    std::normal_distribution<double> normal(0, 1);
    for (std::vector<float>* one : {&x, &t}) {
      one->resize(one == &x ? m * n : m * out);
      for (float& v : *one) v = static_cast<float>(std::abs(normal(engine)) + 0.1);
    }
    weights.resize(m);
    for (double& w : weights) w = std::abs(normal(engine)) + 0.1;
  }
  Samples<float> samples(bool weighted) const {
    return {dense_view(x.data(), rows, x.size() / rows),
            dense_view(t.data(), rows, t.size() / rows), nullptr,
            weighted ? weights.data() : nullptr};
  }
};

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
  adam.decay = 0.01;
  adam.decoupled = true;
  for (const std::size_t rows : {64u, 1100u}) {
    const std::vector<float> one = after_steps(1, rows, adam);
    for (const std::size_t n : {2u, 3u}) {
      const std::vector<float> many = after_steps(n, rows, adam);
      for (std::size_t i = 0; i < one.size(); ++i) ASSERT_EQ(one[i], many[i]) << n << " " << rows;
    }
  }
  set_num_threads(threads);
}

TEST(Trainer, AllocatesNothingAfterTheFirstStep) {
  const std::size_t threads = num_threads();
  set_num_threads(2);
  const Trained trained;
  const Mlp<float> net(std::span<const LayerView<float>>(trained.layers));
  Trainer<float> trainer(net, {}, {});
  for (const std::size_t rows : {1100u, 64u}) {
    const Data data(rows, 7, 5);
    EXPECT_TRUE(becomes_quiet([&] { trainer.step(data.samples(false), 1e-3); })) << rows;
  }
  set_num_threads(threads);
}

TEST(Trainer, RefusesWhatDoesNotFit) {
  const Trained trained;
  const Mlp<float> net(std::span<const LayerView<float>>(trained.layers));
  Trainer<float> trainer(net, {}, {});
  EXPECT_THROW(trainer.step(Data(4, 6, 5).samples(false), 1), std::invalid_argument);
  EXPECT_THROW(trainer.step(Data(4, 7, 4).samples(false), 1), std::invalid_argument);
  Samples<float> none{};
  EXPECT_THROW(trainer.step(none, 1), std::invalid_argument);
  EXPECT_THROW((Trainer<float>(net, {kernels::LossKind::quantile, 1, {0.5}}, {})),
               std::invalid_argument);
}

}  // namespace
}  // namespace laminet::testing
