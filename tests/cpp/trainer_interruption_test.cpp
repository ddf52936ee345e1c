// Training that is left in the middle: nothing of a step that has not been made stays.
#include <gtest/gtest.h>

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "laminet/base/interruption.h"
#include "laminet/training/trainer.h"
#include "trained_networks.h"

namespace laminet::testing {
namespace {

TEST(Trainer, IsWholeAfterAnInterruption) {
  const Trained trained;
  const Mlp<float> net(std::span<const LayerView<float>>(trained.layers));
  const Data data(20000, 7, 5);
  struct Enough {};
  Trainer<float> trainer(net, {}, {});
  const std::vector<double> rates(20000, 1e-4);
  {
    const Interruptible interruptible([](void*) { throw Enough(); }, nullptr);
    EXPECT_THROW(trainer.epoch(data.samples(false), 1, std::nullopt, rates), Enough);
  }
  const std::size_t made = trainer.steps();
  ASSERT_LT(made, 20000u);
  Trainer<float> again(net, {}, {});
  again.epoch(rows_of(data.samples(false), 0, made), 1, std::nullopt, std::span(rates).first(made));
  EXPECT_EQ(numbers_of(net, trainer), numbers_of(net, again));
}

// Its iterations may be left, and then the step has not been made.
TEST(Trainer, IsWholeAfterAnInterruptionOfMuon) {
  Numbers numbers;
  const std::vector<LayerView<float>> layers{{numbers.dense(600, 7, ActivationKind::tanh)},
                                             {numbers.dense(600, 600, ActivationKind::tanh)},
                                             {numbers.dense(5, 600, ActivationKind::identity)}};
  const Mlp<float> net{std::span<const LayerView<float>>(layers)};
  const Data data(100, 7, 5);
  struct Enough {};
  Trainer<float> trainer(net, {}, muon());
  const std::vector<double> rates(100, 1e-4);
  {
    const Interruptible interruptible([](void*) { throw Enough(); }, nullptr);
    EXPECT_THROW(trainer.epoch(data.samples(false), 1, std::nullopt, rates), Enough);
  }
  const std::size_t made = trainer.steps();
  ASSERT_LT(made, 100u);
  Trainer<float> again(net, {}, muon());
  for (Trainer<float>* one : {&trainer, &again}) {
    while (one->steps() < made + 2) {
      one->step(rows_of(data.samples(false), one->steps(), 1), rates[0]);
    }
  }
  EXPECT_EQ(numbers_of(net, trainer), numbers_of(net, again));
}

// A step of large matrices takes seconds, as one of small ones that makes many iterations does.
TEST(Trainer, IsAskedInTheMiddleOfAStepOfMuon) {
  Numbers numbers;
  const std::vector<LayerView<float>> layers{{numbers.dense(300, 300, ActivationKind::identity)}};
  const Mlp<float> net{std::span<const LayerView<float>>(layers)};
  const Data data(1, 300, 300);
  Optimizer optimizer = muon();
  optimizer.newton_schulz_steps = 3000;
  Trainer<float> trainer(net, {}, optimizer);
  struct Enough {};
  // Before the iterations and after them are two.
  std::size_t asked = 0;
  const auto ask = [](void* count) {
    if (++*static_cast<std::size_t*>(count) == 3) throw Enough();
  };
  const Interruptible interruptible(ask, &asked);
  EXPECT_THROW(trainer.step(data.samples(false), 1e-3), Enough);
  EXPECT_EQ(trainer.steps(), 0u);
}

}  // namespace
}  // namespace laminet::testing
