// The samples of an epoch in their order, cut into batches, and what each of them counts for.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "laminet/training/samples.h"

namespace laminet {

// An epoch's shuffle: a function of these alone.
struct Shuffle {
  std::uint64_t seed;
  std::uint64_t epoch;
};

template <class T>
class Batches {
 public:
  // Samples of weight 0 are left out, as if they were not there. Throws std::invalid_argument where
  // none is left. Memory is kept from one call to the next.
  void set(const Targets<T>& targets, const Samples<T>& samples, std::size_t batch_size,
           const std::optional<Shuffle>& shuffle);

  std::size_t count() const { return (rows_ + batch_size_ - 1) / batch_size_; }
  std::size_t most_rows() const { return std::min(rows_, batch_size_); }
  std::size_t first(std::size_t batch) const { return batch * batch_size_; }
  std::size_t rows(std::size_t batch) const { return std::min(batch_size_, rows_ - first(batch)); }
  // Sums of the weights of a batch over that of all.
  double share(std::size_t batch) const {
    return weighted_ ? batch_shares_[batch]
                     : static_cast<double>(rows(batch)) / static_cast<double>(rows_);
  }

  // By place in the order: which sample it is, and its weight over the sum of its batch.
  std::size_t sample(std::size_t place) const { return ordered_ ? order_[place] : place; }
  const T* weights(std::size_t place) const {
    return weighted_ ? weights_.data() + place : nullptr;
  }

 private:
  std::size_t rows_ = 0;
  std::size_t batch_size_ = 1;
  bool ordered_ = false;
  bool weighted_ = false;
  std::vector<std::uint32_t> order_;
  std::vector<double> raw_;
  std::vector<T> weights_;
  std::vector<double> batch_shares_;
};

}  // namespace laminet
