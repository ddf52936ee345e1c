#include "laminet/training/trainer.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "laminet/base/check.h"
#include "laminet/base/float_mode.h"
#include "laminet/base/interruption.h"
#include "laminet/base/parallel.h"
#include "laminet/base/scratch.h"
#include "laminet/base/thread_count.h"
#include "laminet/base/types.h"
#include "laminet/gradients/tape.h"
#include "laminet/gradients/work.h"
#include "laminet/network/steps/rows.h"
#include "laminet/training/dropout.h"
#include "laminet/training/pass.h"

namespace laminet {
namespace {

struct GradientPurpose;

// Below it a second thread costs more than it saves.
constexpr double kLeastFlopsToShare = 5e5;

// What an optimiser does with a parameter, in FLOPs of a product that takes as long.
constexpr double kFlopsOfUpdate = 40;

// Phases of one job: the team keeps a cache line for each of them and part.
constexpr std::size_t kPhasesOfJob = 64;

// A job is not interrupted, so it must end soon: FLOPs of some 10 ms on one core.
constexpr double kFlopsOfJob = 1e9;

// Networks whose weights and gradients stay in L2 beside a block of samples: there each slice of a
// batch goes forward, back and into gradients of its own while all is in cache. Elements; no bit of
// a sum over samples may depend on the machine, hence constant.
constexpr std::size_t kMostSlicedWeights = 32768;

// So many slices: for two rows of 16 the sum over slices costs some percent of the rest.
std::size_t slices_of(std::size_t rows) {
  std::size_t slices = 1;
  while (slices < 16 && 32 * slices * slices <= rows) slices *= 2;
  return slices;
}

Program trained_program(const Program& program, const Loss& loss) {
  return loss.kind == kernels::LossKind::cross_entropy ? program.with_head(Head::none) : program;
}

// In four partial sums, which do not wait for each other.
double sum_of(const double* values, std::size_t n) {
  double sums[4] = {};
  std::size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    for (std::size_t j = 0; j < 4; ++j) sums[j] += values[i + j];
  }
  for (; i < n; ++i) sums[0] += values[i];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

}  // namespace

// Steps on batch after batch as phases, which the threads share. A batch is
//   passes over up to kPassRows rows, each of two phases: rows go forward and back, shared by rows;
//   their gradients are made, shared by parts of the parameters, and with the last of them these
//   are updated, while the gradient is in cache;
// or for small networks
//   slices, shared by slices: forward, back, and the gradients of each slice by itself; then the
//   sums over slices and the updates, shared by parts of the parameters.
// To clip, all gradients are needed first, and the updates are a phase of their own.
template <class T>
class Trainer<T>::Job {
 public:
  Job(Trainer& trainer, const Samples<T>& samples, std::span<const double> rates, Aim aim)
      : t_(trainer),
        pass_{t_.program_,
              t_.numbers_.operands(),
              t_.targets_,
              t_.loss_.kind,
              static_cast<T>(t_.loss_.parameter),
              samples,
              t_.batches_},
        rates_(rates),
        aim_(aim),
        most_rows_(t_.batches_.most_rows()),
        sliced_(t_.program_.weights() <= kMostSlicedWeights),
        passes_(sliced_ ? 1 : (most_rows_ + kPassRows - 1) / kPassRows),
        clips_(aim == Aim::step && t_.optimizer_.clip_norm > 0),
        phases_(2 * passes_ + (clips_ ? 1 : 0)),
        block_(std::min(pass_.block_rows(), most_rows_)),
        threads_(threads_for(most_rows_)),
        rate_(t_.optimizer_, t_.steps_ + 1, 0) {
    t_.numbers_.drop(aim == Aim::step && has_dropout(t_.program_));
    const std::size_t slices = sliced_ ? slices_of(most_rows_) : 1;
    keeps_gradients_ = sliced_ || passes_ > 1 || clips_ || aim == Aim::gradients;
    if (keeps_gradients_ && t_.gradients_.size() < slices * t_.numbers_.size()) {
      t_.gradients_ = {};
      t_.gradients_ = HugePageArray<T>(slices * t_.numbers_.size());
    }
    t_.losses_.resize(std::max(t_.losses_.size(), sliced_ ? most_rows_ : tape_rows()));
    t_.squares_.resize(t_.numbers_.parts().size());
    if (!sliced_) {
      tape_ = &thread_tape<T>();
      tape_->start(t_.program_, tape_rows());
      if (aim != Aim::loss) {
        t_.operands_.set(t_.program_, pass_.operands.table->gradient_tile, tape_rows());
      }
    }
  }

  std::size_t steps() const { return steps_; }

  EpochResult run() {
    const std::size_t batches = t_.batches_.count();
    const double flops =
        3 * t_.program_.flops() * static_cast<double>(std::min(most_rows_, kPassRows));
    const bool long_steps = static_cast<double>(passes_) * flops > kFlopsOfJob;
    const std::size_t steps_a_job = std::max<std::size_t>(
        1, std::min(kPhasesOfJob / phases_, static_cast<std::size_t>(kFlopsOfJob / flops)));
    for (std::size_t b = 0; b < batches && !stopped();) {
      const std::size_t steps = std::min(steps_a_job, batches - b);
      // Between passes nothing has changed but gradients.
      if (long_steps || phases_ > kPhasesOfJob) {
        for (std::size_t p = 0; p + 1 < passes_ && !stopped(); ++p) {
          interruption_point();
          share(b * phases_ + 2 * p, 2);
        }
        interruption_point();
        share(b * phases_ + 2 * (passes_ - 1), phases_ - 2 * (passes_ - 1));
        b += 1;
        continue;
      }
      interruption_point();
      share(b * phases_, steps * phases_);
      b += steps;
    }
    return {seen_ > 0 ? loss_ / seen_ : 0, steps_};
  }

 private:
  std::size_t tape_rows() const { return std::min(most_rows_, kPassRows); }

  bool stopped() const { return stopped_.load(std::memory_order_relaxed); }

  std::size_t threads_for(std::size_t rows) const {
    const double flops = 3 * t_.program_.flops() * static_cast<double>(rows) +
                         kFlopsOfUpdate * static_cast<double>(t_.program_.weights());
    return flops < kLeastFlopsToShare ? 1 : num_threads();
  }

  // Runs phases from `first` on.
  void share(std::size_t first, std::size_t count) {
    const Uninterrupted whole;
    const auto run = [&](std::size_t phase, std::size_t part) {
      this->phase((first + phase) / phases_, (first + phase) % phases_, part);
    };
    if (threads_ > 1) return parallel_phases(count, threads_, Wake::always, run);
    for (std::size_t phase = 0; phase < count; ++phase) run(phase, 0);
  }

  void phase(std::size_t batch, std::size_t phase, std::size_t part) {
    if (stopped()) return;
    const std::size_t rows = t_.batches_.rows(batch);
    const std::size_t first = t_.batches_.first(batch);
    if (clips_ && phase + 1 == phases_) return updates(batch, part);
    const std::size_t start = phase / 2 * kPassRows;  // of the pass, in the batch
    if (!sliced_ && start >= rows) return;            // the last batch may have fewer passes
    const std::size_t count = sliced_ ? rows : std::min(kPassRows, rows - start);
    if (phase % 2 == 0) {
      const T scale = T{1} / static_cast<T>(rows);
      return sliced_ ? slices(batch, first, count, scale, part)
                     : rows_of(batch, first + start, count, scale, part);
    }
    const bool last = start + count == rows;
    if (part == 0) {
      batch_loss_ = (start > 0 ? batch_loss_ : 0) + sum_of(t_.losses_.data(), count);
      if (last) end_batch(batch);
    }
    if (aim_ != Aim::loss) sums(batch, count, start > 0, last, part);
  }

  // A thread's rows, block by block.
  void rows_of(std::size_t batch, std::size_t place, std::size_t count, T scale, std::size_t part) {
    const RowRange own = share_of_rows(count, threads_, part);
    for (std::size_t i = 0; i < own.count; i += block_) {
      const std::size_t row = own.first + i;
      const std::size_t rows = std::min(block_, own.count - i);
      drop(batch, *tape_, row, rows, place + row);
      pass_.run(*tape_, row, rows, place + row, scale, aim_ != Aim::loss, t_.losses_.data());
      if (aim_ != Aim::loss) pass_.pack(*tape_, row, rows, t_.operands_);
    }
    look_at(t_.losses_.data() + own.first, own.count);
  }

  void slices(std::size_t batch, std::size_t place, std::size_t count, T scale, std::size_t part) {
    const std::size_t slices = slices_of(count);
    Tape<T>& tape = thread_tape<T>();
    tape.start(t_.program_, block_);
    for (std::size_t s = part; s < slices; s += threads_) {
      const RowRange own = share_of_rows(count, slices, s);
      for (std::size_t i = 0; i < own.count; i += block_) {
        const std::size_t row = own.first + i;
        const std::size_t rows = std::min(block_, own.count - i);
        drop(batch, tape, 0, rows, place + row);
        pass_.run(tape, 0, rows, place + row, scale, aim_ != Aim::loss, t_.losses_.data() + row);
        if (aim_ == Aim::loss) continue;
        for (const TrainedPart& one : t_.numbers_.parts()) {
          if (!frozen(one)) pass_.gradient(tape, rows, nullptr, one, i > 0, gradient_of(one, s));
        }
      }
      look_at(t_.losses_.data() + own.first, own.count);
    }
  }

  // Masks for rows of the tape, which are those from a place in the order on.
  void drop(std::size_t batch, const Tape<T>& tape, std::size_t row, std::size_t count,
            std::size_t place) const {
    if (!pass_.operands.drops) return;
    write_masks<T>(t_.program_, {t_.dropout_seed_, t_.steps_ + batch},
                   place - t_.batches_.first(batch), tape.kept().rows(row, count));
  }

  // A loss that is not finite stops all.
  void look_at(const double* losses, std::size_t count) {
    if (aim_ != Aim::step) return;
    if (!std::isfinite(sum_of(losses, count))) stopped_after_loss_.store(true);
  }

  // Sums over the rows of a pass, or over slices; with the last one the updates.
  void sums(std::size_t batch, std::size_t count, bool accumulate, bool last, std::size_t part) {
    if (stopped_after_loss_.load(std::memory_order_relaxed)) return;
    const std::size_t slices = sliced_ ? slices_of(count) : 1;
    const StepRate rate = rate_of(batch);
    for_own_parts(part, [&](const TrainedPart& one, std::size_t i) {
      if (frozen(one) && !t_.optimizer_.averages()) return;
      T* const gradient = keeps_gradients_
                              ? gradient_of(one, 0)
                              : thread_scratch<T, GradientPurpose>(t_.numbers_.largest_part());
      if (!frozen(one)) {
        if (!sliced_) pass_.gradient(*tape_, count, &t_.operands_, one, accumulate, gradient);
        for (std::size_t s = 1; s < slices; ++s) {
          steps::give<T>(*t_.numbers_.operands().table,
                         dense_view<const T>(gradient_of(one, s), 1, one.count),
                         dense_view(gradient, 1, one.count), true);
        }
      }
      if (!last || aim_ != Aim::step) return;
      if (clips_) {
        t_.squares_[i] = squares_of(one, gradient);
      } else {
        update_part(one, gradient, rate, 1);
      }
    });
  }

  // Those that had to wait for the norm of all gradients.
  void updates(std::size_t batch, std::size_t part) {
    if (stopped_after_loss_.load(std::memory_order_relaxed)) return;
    const double norm = std::sqrt(sum_of(t_.squares_.data(), t_.squares_.size()));
    // As torch.nn.utils.clip_grad_norm_.
    const double scale = std::min(1.0, t_.optimizer_.clip_norm / (norm + 1e-6));
    const StepRate rate = rate_of(batch);
    for_own_parts(part, [&](const TrainedPart& one, std::size_t) {
      update_part(one, gradient_of(one, 0), rate, scale);
    });
  }

  // By one thread, in the phase that makes the last gradients of a batch.
  void end_batch(std::size_t batch) {
    if (aim_ == Aim::step && stopped_after_loss_.load(std::memory_order_relaxed)) {
      stopped_.store(true, std::memory_order_relaxed);
    } else {
      ++steps_;
    }
    const bool joined = t_.loss_.kind == kernels::LossKind::cross_entropy;
    double mean = batch_loss_;
    if (!joined) mean /= static_cast<double>(t_.program_.out_features());
    if (!t_.batches_.weights(0)) mean /= static_cast<double>(t_.batches_.rows(batch));
    loss_ += t_.batches_.share(batch) * mean;
    seen_ += t_.batches_.share(batch);
  }

  // use(part, its number) for those of a thread, which are always the same.
  template <class Use>
  void for_own_parts(std::size_t part, Use use) {
    const std::span<const TrainedPart> parts = t_.numbers_.parts();
    const RowRange own = share_of_rows(parts.size(), threads_, part);
    for (std::size_t i = own.first; i < own.first + own.count; ++i) use(parts[i], i);
  }

  bool frozen(const TrainedPart& part) const {
    return aim_ == Aim::step && part.factor == 0 && !part.mixed;
  }

  T* gradient_of(const TrainedPart& part, std::size_t slice) {
    return t_.gradients_.data() + slice * t_.numbers_.size() + part.offset;
  }

  StepRate rate_of(std::size_t batch) const {
    return aim_ == Aim::step ? StepRate(t_.optimizer_, t_.steps_ + batch + 1, rates_[batch])
                             : rate_;
  }

  // use(first, elements, factor) for what of a part has one factor.
  template <class Use>
  void for_ranges(const TrainedPart& part, Use use) const {
    if (!part.mixed) return use(std::size_t{0}, part.count, part.factor);
    const double* const factors = t_.numbers_.factors(part);
    for (std::size_t i = 0; i < part.inputs; ++i) {
      for (std::size_t j = 0; j < part.outputs; ++j) use(i * part.stride + j, 1, factors[j]);
    }
  }

  double squares_of(const TrainedPart& part, const T* gradient) const {
    double sum = 0;
    for_ranges(part, [&](std::size_t first, std::size_t count, double factor) {
      if (factor == 0) return;
      sum += static_cast<double>(
          t_.numbers_.operands().table->sum_of_squares(gradient + first, count));
    });
    return sum;
  }

  void update_part(const TrainedPart& part, const T* gradient, const StepRate& rate, double scale) {
    TrainedNumbers<T>& numbers = t_.numbers_;
    const std::size_t moments = t_.optimizer_.moments();
    for_ranges(part, [&](std::size_t first, std::size_t count, double factor) {
      const auto at = [&](std::size_t buffer) {
        return buffer < numbers.buffers() ? numbers.of(buffer, part) + first : nullptr;
      };
      update<T>(*numbers.operands().table, t_.optimizer_, rate, scale,
                {.parameters = numbers.parameters(part) + first,
                 .gradients = gradient + first,
                 .moments = {moments > 0 ? at(0) : nullptr, moments > 1 ? at(1) : nullptr},
                 .average = t_.optimizer_.averages() ? at(moments) : nullptr,
                 .count = count,
                 .factor = factor,
                 .weight = part.what == TrainedPart::What::weight});
    });
    if (!frozen(part)) numbers.changed(part);
  }

  Trainer& t_;
  Pass<T> pass_;
  std::span<const double> rates_;
  Aim aim_;
  std::size_t most_rows_;
  bool sliced_;
  std::size_t passes_;
  bool clips_;
  std::size_t phases_;  // of a step
  std::size_t block_;
  std::size_t threads_;
  StepRate rate_;
  bool keeps_gradients_ = false;
  Tape<T>* tape_ = nullptr;

  // Of the batch, by its first part; of all.
  double batch_loss_ = 0;
  double loss_ = 0;
  double seen_ = 0;
  std::size_t steps_ = 0;
  std::atomic<bool> stopped_after_loss_{false};  // by any part
  std::atomic<bool> stopped_{false};
};

template <class T>
Trainer<T>::Trainer(const Mlp<T>& start, const Loss& loss, const Optimizer& optimizer,
                    const RateFactors& factors, std::uint64_t dropout_seed)
    : program_(trained_program(start.program(), loss)),
      loss_(loss),
      targets_(loss, program_.out_features()),
      optimizer_(optimizer),
      numbers_(start, program_, factors, optimizer.moments() + (optimizer.averages() ? 1 : 0)),
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

#define LAMINET_INSTANTIATE(T) template class Trainer<T>;
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet
