#include "laminet/training/job.h"

#include <algorithm>
#include <cmath>

#include "laminet/base/interruption.h"
#include "laminet/base/parallel.h"
#include "laminet/base/scratch.h"
#include "laminet/base/thread_count.h"
#include "laminet/base/types.h"
#include "laminet/gradients/work.h"
#include "laminet/network/steps/rows.h"
#include "laminet/training/dropout.h"
#include "laminet/training/pass.h"

namespace laminet {
namespace {

struct GradientPurpose;
struct SquaresPurpose;

// Below it a second thread costs more than it saves.
constexpr double kLeastFlopsToShare = 5e5;

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

template <class T>
Trainer<T>::Job::Job(Trainer& trainer, const Samples<T>& samples, std::span<const double> rates,
                     Aim aim)
    : t_(trainer),
      pass_{t_.program_,
            aim == Aim::loss ? t_.numbers_.exact() : t_.numbers_.operands(),
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
      clips_(updates() && t_.optimizer_.clip_norm > 0),
      orthogonal_(updates() && t_.optimizer_.kind == Optimizer::Kind::muon),
      waits_(clips_ || orthogonal_ || aim == Aim::apply),
      gradient_phases_(2 * passes_),
      phases_(gradient_phases_ + (orthogonal_ ? t_.newton_schulz_.phases() : 0) + (waits_ ? 1 : 0)),
      block_(std::min(sliced_ ? pass_.slice_rows() : pass_.block_rows(), most_rows_)),
      threads_(t_.flops(most_rows_) < kLeastFlopsToShare ? 1 : num_threads()),
      rate_(t_.optimizer_, t_.steps_ + 1, 0) {
  t_.numbers_.drop(aim == Aim::step && has_dropout(t_.program_));
  const std::size_t slices = sliced_ ? slices_of(most_rows_) : 1;
  keeps_gradients_ = sliced_ || passes_ > 1 || waits_ || aim == Aim::gradients;
  if (keeps_gradients_ && t_.gradients_.size() < slices * t_.numbers_.size()) {
    t_.gradients_ = {};
    t_.gradients_ = HugePageArray<T>(slices * t_.numbers_.size());
  }
  t_.losses_.resize(std::max(t_.losses_.size(), sliced_ ? most_rows_ : tape_rows()));
  t_.squares_.resize(t_.numbers_.squares());
  if (orthogonal_) t_.newton_schulz_.prepare();
  if (!sliced_ && aim != Aim::apply) {
    tape_ = &thread_tape<T>();
    tape_->start(t_.program_, tape_rows());
  }
  if ((!sliced_ || pass_.operands.rounds) && (aim == Aim::step || aim == Aim::gradients)) {
    t_.operands_.resize(std::max(t_.operands_.size(), sliced_ ? threads_ : 1));
    for (GradientOperands<T>& operands : t_.operands_) {
      operands.set(t_.program_, *pass_.operands.table, sliced_ ? block_ : tape_rows(),
                   pass_.in_pairs());
    }
  }
}

template <class T>
EpochResult Trainer<T>::Job::run() {
  const std::size_t batches = t_.batches_.count();
  const double flops = flops_of_step();
  const std::size_t steps_a_job = std::max<std::size_t>(
      1, std::min(kPhasesOfJob / phases_, static_cast<std::size_t>(kFlopsOfJob / flops)));
  for (std::size_t b = 0; b < batches && !stopped();) {
    if (flops > kFlopsOfJob || phases_ > kPhasesOfJob) {
      share_step(b++);
      continue;
    }
    const std::size_t steps = std::min(steps_a_job, batches - b);
    interruption_point();
    share(b * phases_, steps * phases_);
    b += steps;
  }
  return {seen_ > 0 ? loss_ / seen_ : 0, steps_};
}

template <class T>
void Trainer<T>::Job::apply() {
  parallel_phases(1, threads_, Wake::always, [&](std::size_t, std::size_t part) {
    reserve_for_updates();
    if (!clips_) return;
    for_own_parts(part, [&](const TrainedPart& one) { sum_squares(one, gradient_of(one, 0)); });
  });
  const std::size_t last = phases_ - 1;
  for (std::size_t done = gradient_phases_; done < last;) {
    const std::size_t count = std::min(kPhasesOfJob, last - done);
    interruption_point();
    share_interruptible(done, count);
    done += count;
  }
  interruption_point();
  share(last, 1);
}

template <class T>
std::size_t Trainer<T>::Job::tape_rows() const {
  return std::min(most_rows_, kPassRows);
}

template <class T>
double Trainer<T>::Job::flops_of_step() const {
  return static_cast<double>(passes_) * 3 * t_.program_.flops() * static_cast<double>(tape_rows()) +
         (orthogonal_ ? t_.newton_schulz_.flops() : 0);
}

template <class T>
void Trainer<T>::Job::share_step(std::size_t batch) {
  const std::size_t first = batch * phases_;
  const std::size_t last = orthogonal_ ? phases_ - 1 : gradient_phases_ - 2;
  std::size_t done = 0;
  for (; done < std::min(last, gradient_phases_); done += 2) {
    interruption_point();
    share(first + done, 2);
  }
  while (done < last && !stopped()) {
    const std::size_t count = std::min(kPhasesOfJob, last - done);
    share_interruptible(first + done, count);
    done += count;
  }
  interruption_point();
  if (!stopped()) share(first + done, phases_ - done);
}

template <class T>
void Trainer<T>::Job::share(std::size_t first, std::size_t count) {
  const Uninterrupted whole;
  share_interruptible(first, count);
}

template <class T>
void Trainer<T>::Job::share_interruptible(std::size_t first, std::size_t count) {
  const auto run = [&](std::size_t phase, std::size_t part) {
    this->phase((first + phase) / phases_, (first + phase) % phases_, part);
  };
  if (threads_ > 1) return parallel_phases(count, threads_, Wake::always, run);
  for (std::size_t phase = 0; phase < count; ++phase) run(phase, 0);
}

template <class T>
void Trainer<T>::Job::phase(std::size_t batch, std::size_t phase, std::size_t part) {
  if (stopped()) return;
  if (batch == 0 && phase == 0) reserve_for_updates();
  if (phase >= gradient_phases_) return after_gradients(batch, phase, part);
  const std::size_t rows = t_.batches_.rows(batch);
  const std::size_t first = t_.batches_.first(batch);
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

template <class T>
void Trainer<T>::Job::reserve_for_updates() const {
  if (!updates()) return;
  const std::size_t most = t_.numbers_.largest_part();
  if (!keeps_gradients_) thread_scratch<T, GradientPurpose>(most);
  if (clips_) thread_scratch<T, SquaresPurpose>(most);
  t_.numbers_.reserve_changes();
}

template <class T>
RowRange Trainer<T>::Job::share_of_pass(std::size_t count, std::size_t part) const {
  if (!pass_.operands.rounds) return share_of_rows(count, threads_, part);
  const RowRange pairs = share_of_rows((count + 1) / 2, threads_, part);
  const std::size_t first = std::min(2 * pairs.first, count);
  return {first, std::min(2 * pairs.count, count - first)};
}

template <class T>
void Trainer<T>::Job::rows_of(std::size_t batch, std::size_t place, std::size_t count, T scale,
                              std::size_t part) {
  const RowRange own = share_of_pass(count, part);
  for (std::size_t i = 0; i < own.count; i += block_) {
    const std::size_t row = own.first + i;
    const std::size_t rows = std::min(block_, own.count - i);
    drop(batch, *tape_, row, rows, place + row);
    pass_.run(*tape_, row, rows, place + row, scale, aim_ != Aim::loss, t_.losses_.data());
    if (aim_ != Aim::loss) pass_.pack(*tape_, row, rows, t_.operands_[0]);
  }
  look_at(t_.losses_.data() + own.first, own.count);
}

template <class T>
void Trainer<T>::Job::slices(std::size_t batch, std::size_t place, std::size_t count, T scale,
                             std::size_t part) {
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
      // What is rounded is packed, since all parts read it; the rest lies in cache as it is.
      const GradientOperands<T>* const packed =
          pass_.operands.rounds ? &t_.operands_[part] : nullptr;
      if (packed) pass_.pack(tape, 0, rows, *packed);
      for (const TrainedPart& one : t_.numbers_.parts()) {
        if (!frozen(one)) pass_.gradient(tape, rows, packed, one, i > 0, gradient_of(one, s));
      }
    }
    look_at(t_.losses_.data() + own.first, own.count);
  }
}

template <class T>
void Trainer<T>::Job::drop(std::size_t batch, const Tape<T>& tape, std::size_t row,
                           std::size_t count, std::size_t place) const {
  if (!pass_.operands.drops) return;
  write_masks<T>(t_.program_, {t_.dropout_seed_, t_.steps_ + batch},
                 place - t_.batches_.first(batch), tape.kept().rows(row, count));
}

template <class T>
void Trainer<T>::Job::look_at(const double* losses, std::size_t count) {
  if (aim_ != Aim::step) return;
  if (!std::isfinite(sum_of(losses, count))) stopped_after_loss_.store(true);
}

template <class T>
void Trainer<T>::Job::sums(std::size_t batch, std::size_t count, bool accumulate, bool last,
                           std::size_t part) {
  if (stopped_after_loss_.load(std::memory_order_relaxed)) return;
  const std::size_t slices = sliced_ ? slices_of(count) : 1;
  const StepRate rate = rate_of(batch);
  for_own_parts(part, [&](const TrainedPart& one) {
    if (frozen(one) && !t_.optimizer_.averages()) return;
    T* const gradient = keeps_gradients_
                            ? gradient_of(one, 0)
                            : thread_scratch<T, GradientPurpose>(t_.numbers_.largest_part());
    if (!frozen(one)) {
      if (!sliced_) pass_.gradient(*tape_, count, t_.operands_.data(), one, accumulate, gradient);
      for (std::size_t s = 1; s < slices; ++s) {
        steps::give<T>(*t_.numbers_.operands().table,
                       dense_view<const T>(gradient_of(one, s), 1, one.count),
                       dense_view(gradient, 1, one.count), true);
      }
    }
    if (!last || aim_ != Aim::step) return;
    if (clips_) sum_squares(one, gradient);
    if (!waits_) update_part(one, gradient, rate, 1);
  });
}

template <class T>
void Trainer<T>::Job::after_gradients(std::size_t batch, std::size_t phase, std::size_t part) {
  if (stopped_after_loss_.load(std::memory_order_relaxed)) return;
  const double scale = gradient_scale();
  if (phase + 1 < phases_) {
    return t_.newton_schulz_.run(phase - gradient_phases_, part, threads_, t_.gradients_.data(),
                                 static_cast<T>(scale), t_.numbers_.buffer(0));
  }
  if (part == 0 && orthogonal_) ++steps_;
  const StepRate rate = rate_of(batch);
  for_own_parts(
      part, [&](const TrainedPart& one) { update_part(one, gradient_of(one, 0), rate, scale); });
}

template <class T>
void Trainer<T>::Job::end_batch(std::size_t batch) {
  if (aim_ == Aim::step && stopped_after_loss_.load(std::memory_order_relaxed)) {
    stopped_.store(true, std::memory_order_relaxed);
  } else if (!orthogonal_) {  // whose step may be left before it is made
    ++steps_;
  }
  const bool joined = t_.loss_.kind == kernels::LossKind::cross_entropy;
  double mean = batch_loss_;
  if (!joined) mean /= static_cast<double>(t_.program_.out_features());
  if (!t_.batches_.weights(0)) mean /= static_cast<double>(t_.batches_.rows(batch));
  loss_ += t_.batches_.share(batch) * mean;
  seen_ += t_.batches_.share(batch);
}

template <class T>
T* Trainer<T>::Job::gradient_of(const TrainedPart& part, std::size_t slice) {
  return t_.gradients_.data() + slice * t_.numbers_.size() + part.offset;
}

template <class T>
StepRate Trainer<T>::Job::rate_of(std::size_t batch) const {
  return updates() ? StepRate(t_.optimizer_, t_.steps_ + batch + 1, rates_[batch]) : rate_;
}

template <class T>
template <class Use>
void Trainer<T>::Job::for_own_parts(std::size_t part, Use use) const {
  const std::span<const TrainedPart> parts = t_.numbers_.parts();
  const RowRange own = share_of_rows(parts.size(), threads_, part);
  for (std::size_t i = own.first; i < own.first + own.count; ++i) use(parts[i]);
}

template <class T>
template <class Use>
void Trainer<T>::Job::for_ranges(const TrainedPart& part, Use use) const {
  if (!part.mixed) return use(std::size_t{0}, part.count, part.factor);
  const double* const factors = t_.numbers_.factors(part);
  for (std::size_t i = 0; i < part.inputs; ++i) {
    for (std::size_t j = 0; j < part.outputs; ++j) use(i * part.stride + j, 1, factors[j]);
  }
}

template <class T>
void Trainer<T>::Job::sum_squares(const TrainedPart& part, const T* gradient) const {
  const kernels::Table<T>& table = *t_.numbers_.operands().table;
  double* const to = t_.squares_.data() + part.square;
  if (part.what != TrainedPart::What::weight) {
    *to = part.factor == 0 ? 0 : static_cast<double>(table.sum_of_squares(gradient, part.count));
    return;
  }
  T* const sums = thread_scratch<T, SquaresPurpose>(part.outputs);
  const auto stride = static_cast<std::ptrdiff_t>(part.stride);
  if (part.mixed || part.factor != 0) {
    table.column_sums({.rows = part.inputs,
                       .columns = part.outputs,
                       .x = gradient,
                       .x_stride = stride,
                       .sums = sums,
                       .accumulate = false,
                       .by = gradient,
                       .by_stride = stride});
  }
  const double* const factors = t_.numbers_.factors(part);
  for (std::size_t j = 0; j < part.outputs; ++j) {
    to[j] = (part.mixed ? factors[j] : part.factor) == 0 ? 0 : static_cast<double>(sums[j]);
  }
}

template <class T>
double Trainer<T>::Job::gradient_scale() const {
  if (!clips_) return 1;
  const double norm = std::sqrt(sum_of(t_.squares_.data(), t_.squares_.size()));
  // As torch.nn.utils.clip_grad_norm_.
  return std::min(1.0, t_.optimizer_.clip_norm / (norm + 1e-6));
}

template <class T>
void Trainer<T>::Job::update_part(const TrainedPart& part, const T* gradient, const StepRate& rate,
                                  double scale) {
  TrainedNumbers<T>& numbers = t_.numbers_;
  const std::size_t moments = t_.optimizer_.moments();
  const bool weight = part.what == TrainedPart::What::weight;
  for_ranges(part, [&](std::size_t first, std::size_t count, double factor) {
    const bool orthogonal = orthogonal_ && weight && factor != 0;
    const auto at = [&](std::size_t buffer) {
      return buffer < numbers.buffers() ? numbers.of(buffer, part) + first : nullptr;
    };
    update<T>(
        *numbers.operands().table, t_.optimizer_, rate, scale,
        {.parameters = numbers.parameters(part) + first,
         .gradients = gradient + first,
         .moments = {moments > 0 ? at(0) : nullptr, moments > 1 ? at(1) : nullptr},
         .average = t_.optimizer_.averages() ? at(moments) : nullptr,
         .count = count,
         .factor = factor,
         .weight = weight,
         .orthogonal = orthogonal ? t_.newton_schulz_.updates() + part.offset + first : nullptr});
  });
  if (!frozen(part)) numbers.changed(part);
}

#define LAMINET_INSTANTIATE(T) template class Trainer<T>::Job;
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet
