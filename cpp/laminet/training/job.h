// What a call of a trainer does: steps on batch after batch, as phases that the threads share.
//
// A batch is
//   passes over up to kPassRows rows, each of two phases: rows go forward and back, shared by rows;
//   their gradients are made, shared by parts of the parameters, and with the last of them these
//   are updated, while the gradient is in cache;
// or for small networks
//   slices, shared by slices: forward, back, and the gradients of each slice by itself; then the
//   sums over slices and the updates, shared by parts of the parameters.
// To clip, and for Muon, all gradients are needed first, and the updates are a phase of their own;
// before it Muon's iterations are phases, which change nothing that a step leaves.
#pragma once

#include <atomic>
#include <cstddef>
#include <span>

#include "laminet/gradients/tape.h"
#include "laminet/training/trainer.h"

namespace laminet {

template <class T>
class Trainer<T>::Job {
 public:
  Job(Trainer& trainer, const Samples<T>& samples, std::span<const double> rates, Aim aim);

  EpochResult run();
  // The updates alone, by the gradients that are there.
  void apply();
  // That were made, after an interruption too.
  std::size_t steps() const { return steps_; }

 private:
  std::size_t tape_rows() const;
  bool stopped() const { return stopped_.load(std::memory_order_relaxed); }
  bool updates() const { return aim_ == Aim::step || aim_ == Aim::apply; }
  bool frozen(const TrainedPart& part) const {
    return updates() && part.factor == 0 && !part.mixed;
  }
  T* gradient_of(const TrainedPart& part, std::size_t slice);
  StepRate rate_of(std::size_t batch) const;
  double flops_of_step() const;

  // A step by itself, which takes long or has many phases: it may be left until its last phase.
  void share_step(std::size_t batch);
  // Runs phases from `first` on; a call is not interrupted, or may be.
  void share(std::size_t first, std::size_t count);
  void share_interruptible(std::size_t first, std::size_t count);

  void phase(std::size_t batch, std::size_t phase, std::size_t part);
  // All that updates ask for on a thread, before there is one: where there is no memory, no part of
  // a step is made.
  void reserve_for_updates() const;
  // A thread's rows: of products of pairs of rows, whole pairs.
  RowRange share_of_pass(std::size_t count, std::size_t part) const;
  // A thread's rows, block by block.
  void rows_of(std::size_t batch, std::size_t place, std::size_t count, T scale, std::size_t part);
  void slices(std::size_t batch, std::size_t place, std::size_t count, T scale, std::size_t part);
  // Masks for rows of the tape, which are those from a place in the order on.
  void drop(std::size_t batch, const Tape<T>& tape, std::size_t row, std::size_t count,
            std::size_t place) const;
  // A loss that is not finite stops all.
  void look_at(const double* losses, std::size_t count);
  // Sums over the rows of a pass, or over slices; with the last one the updates.
  void sums(std::size_t batch, std::size_t count, bool accumulate, bool last, std::size_t part);
  // What had to wait for the gradients of all parts.
  void after_gradients(std::size_t batch, std::size_t phase, std::size_t part);
  // By one thread, in the phase that makes the last gradients of a batch.
  void end_batch(std::size_t batch);

  // use(part) for those of a thread, which are always the same.
  template <class Use>
  void for_own_parts(std::size_t part, Use use) const;
  // use(first, elements, factor) for what of a part has one factor.
  template <class Use>
  void for_ranges(const TrainedPart& part, Use use) const;
  void sum_squares(const TrainedPart& part, const T* gradient) const;
  double gradient_scale() const;
  void update_part(const TrainedPart& part, const T* gradient, const StepRate& rate, double scale);

  Trainer& t_;
  Pass<T> pass_;
  std::span<const double> rates_;
  Aim aim_;
  std::size_t most_rows_;
  bool sliced_;
  std::size_t passes_;
  bool clips_;
  bool orthogonal_;  // by Muon
  bool waits_;       // the updates do, for the gradients of all parts
  std::size_t gradient_phases_;
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

}  // namespace laminet
