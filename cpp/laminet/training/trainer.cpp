#include "laminet/training/trainer.h"

#include <algorithm>
#include <type_traits>

#include "laminet/base/check.h"
#include "laminet/base/float_mode.h"
#include "laminet/base/types.h"
#include "laminet/training/job.h"

namespace laminet {
namespace {

// What an optimiser does with a parameter, in FLOPs of a product that takes as long.
constexpr double kFlopsOfUpdate = 40;

Program trained_program(const Program& program, const Loss& loss) {
  return loss.kind == kernels::LossKind::cross_entropy ? program.with_head(Head::none) : program;
}

// Whether products do.
template <class T>
bool rounds(Precision precision) {
  require(precision == Precision::full ||
              (precision == Precision::bfloat16 && std::is_same_v<T, float>),
          "networks are trained in precision 'full', or those of float32 in 'bfloat16'");
  return precision == Precision::bfloat16;
}

}  // namespace

template <class T>
Trainer<T>::Trainer(const Mlp<T>& start, const Loss& loss, const Optimizer& optimizer,
                    const RateFactors& factors, std::uint64_t dropout_seed, Precision precision)
    : program_(trained_program(start.program(), loss)),
      loss_(loss),
      targets_(loss, program_.out_features()),
      optimizer_(optimizer),
      numbers_(start, program_, factors, optimizer.moments() + (optimizer.averages() ? 1 : 0),
               rounds<T>(precision)),
      newton_schulz_(optimizer, numbers_, start.table()),
      dropout_seed_(dropout_seed) {}

template <class T>
EpochResult Trainer<T>::run(const Samples<T>& samples, std::size_t batch_size,
                            const std::optional<Shuffle>& shuffle, std::span<const double> rates,
                            Aim aim) {
  require(samples.x.columns == program_.in_features(), "x has ", samples.x.columns,
          " features, the network takes ", program_.in_features());
  targets_.check(samples);
  batches_.set(targets_, samples, batch_size, shuffle);
  require(aim != Aim::step || rates.size() == batches_.count(), "there are ", batches_.count(),
          " batches, got learning rates for ", rates.size());
  const DefaultFloatMode mode;
  Job job(*this, samples, rates, aim);
  try {
    const EpochResult result = job.run();
    if (aim == Aim::step) steps_ += result.steps;
    return result;
  } catch (...) {
    if (aim == Aim::step) steps_ += job.steps();
    throw;
  }
}

template <class T>
double Trainer<T>::step(const Samples<T>& samples, double learning_rate) {
  return run(samples, std::max<std::size_t>(1, samples.rows()), std::nullopt,
             std::span(&learning_rate, 1), Aim::step)
      .loss;
}

template <class T>
EpochResult Trainer<T>::epoch(const Samples<T>& samples, std::size_t batch_size,
                              const std::optional<Shuffle>& shuffle,
                              std::span<const double> rates) {
  return run(samples, batch_size, shuffle, rates, Aim::step);
}

template <class T>
double Trainer<T>::flops(std::size_t rows) const {
  return 3 * program_.flops() * static_cast<double>(rows) +
         kFlopsOfUpdate * static_cast<double>(program_.weights()) + newton_schulz_.flops();
}

template <class T>
double Trainer<T>::loss(const Samples<T>& samples) {
  return run(samples, std::max<std::size_t>(1, samples.rows()), std::nullopt, {}, Aim::loss).loss;
}

template <class T>
double Trainer<T>::gradients(const Samples<T>& samples, const T*& memory) {
  const double loss =
      run(samples, std::max<std::size_t>(1, samples.rows()), std::nullopt, {}, Aim::gradients).loss;
  memory = gradients_.data();
  return loss;
}

template <class T>
T* Trainer<T>::given_gradients() {
  if (gradients_.size() < numbers_.size()) {
    gradients_ = {};
    gradients_ = HugePageArray<T>(numbers_.size());
  }
  std::fill_n(gradients_.data(), numbers_.size(), T{0});
  return gradients_.data();
}

template <class T>
void Trainer<T>::apply(double learning_rate) {
  const DefaultFloatMode mode;
  const Samples<T> none;
  Job(*this, none, std::span(&learning_rate, 1), Aim::apply).apply();
  ++steps_;
}

#define LAMINET_INSTANTIATE(T) template class Trainer<T>;
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet
