// What the tests of training share: networks, samples, and what a trainer has made of the numbers.
#pragma once

#include <cmath>
#include <cstddef>
#include <random>
#include <vector>

#include "laminet/training/trainer.h"
#include "support.h"

namespace laminet::testing {

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

inline Optimizer muon() {
  Optimizer optimizer;
  optimizer.kind = Optimizer::Kind::muon;
  optimizer.momentum = 0.95;
  optimizer.nesterov = true;
  optimizer.decay = 0.1;
  optimizer.decoupled = true;
  optimizer.clip_norm = 0.1;
  return optimizer;
}

// All numbers, weights first.
inline std::vector<float> numbers_of(const Mlp<float>& net, const Trainer<float>& trainer) {
  std::vector<float> found;
  for (std::size_t l = 0; l < net.layers().size(); ++l) {
    const DenseView<float>& layer = net.layers()[l];
    std::vector<float> now(layer.weight.rows * layer.weight.columns);
    trainer.numbers().copy_weight(l,
                                  dense_view(now.data(), layer.weight.rows, layer.weight.columns));
    found.insert(found.end(), now.begin(), now.end());
    const float* bias =
        trainer.numbers().row(static_cast<std::size_t>(layer.bias - net.parameters().data()));
    found.insert(found.end(), bias, bias + layer.weight.rows);
  }
  return found;
}

inline Samples<float> rows_of(const Samples<float>& all, std::size_t first, std::size_t count) {
  return {all.x.row_block(first, count), all.targets.row_block(first, count), nullptr,
          all.weights ? all.weights + first : nullptr};
}

}  // namespace laminet::testing
