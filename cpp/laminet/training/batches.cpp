#include "laminet/training/batches.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <span>

#include "laminet/base/check.h"
#include "laminet/base/types.h"
#include "laminet/training/random.h"

namespace laminet {

template <class T>
void Batches<T>::set(const Targets<T>& targets, const Samples<T>& samples, std::size_t batch_size,
                     const std::optional<Shuffle>& shuffle) {
  const std::size_t all = samples.rows();
  require(all > 0, "there are no samples");
  require(all <= std::numeric_limits<std::uint32_t>::max(), "there are ", all,
          " samples, of which an epoch takes at most 4294967295");
  require(batch_size > 0, "batch_size must be at least 1");
  weighted_ = targets.weighted(samples);
  ordered_ = shuffle.has_value() || weighted_;
  rows_ = all;
  batch_size_ = batch_size;
  if (!ordered_) return;

  order_.clear();
  for (std::size_t i = 0; i < all; ++i) {
    if (!weighted_ || targets.weight(samples, i) > 0) {
      order_.push_back(static_cast<std::uint32_t>(i));
    }
  }
  rows_ = order_.size();
  require(rows_ > 0, "all samples have weight 0");
  if (shuffle) {
    laminet::shuffle(std::span(order_), RandomStream(shuffle->seed).stream(shuffle->epoch));
  }
  if (!weighted_) return;

  raw_.resize(rows_);
  double most = 0;
  for (std::size_t i = 0; i < rows_; ++i) {
    raw_[i] = targets.weight(samples, order_[i]);
    most = std::max(most, raw_[i]);
  }
  // Over the largest, so that no sum overflows.
  for (double& weight : raw_) weight /= most;
  weights_.resize(rows_);
  batch_shares_.resize(count());
  for (std::size_t b = 0; b < count(); ++b) {
    const std::span<const double> own(raw_.data() + first(b), rows(b));
    const double sum = std::accumulate(own.begin(), own.end(), 0.0);
    batch_shares_[b] = sum;
    // A batch whose weights all vanish beside the largest one counts for nothing.
    for (std::size_t i = 0; i < own.size(); ++i) {
      weights_[first(b) + i] = static_cast<T>(sum > 0 ? own[i] / sum : 0);
    }
  }
  const double total = std::accumulate(batch_shares_.begin(), batch_shares_.end(), 0.0);
  for (double& share : batch_shares_) share /= total;
}

#define LAMINET_INSTANTIATE(T) template class Batches<T>;
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet
