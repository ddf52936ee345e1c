#include "laminet/training/samples.h"

#include <algorithm>
#include <cmath>

#include "laminet/base/check.h"
#include "laminet/base/types.h"

namespace laminet {

template <class T>
Targets<T>::Targets(const Loss& loss, std::size_t out_features)
    : out_features_(out_features),
      columns_(out_features),
      cross_entropy_(loss.kind == kernels::LossKind::cross_entropy),
      as_given_(loss.kind != kernels::LossKind::quantile && loss.label_smoothing == 0 &&
                loss.class_weights.empty()),
      smoothing_(loss.label_smoothing),
      even_(loss.label_smoothing / (cross_entropy_ ? static_cast<double>(out_features) : 2)),
      class_weights_(loss.class_weights) {
  require(class_weights_.empty() || (cross_entropy_ && class_weights_.size() == out_features),
          "there are ", class_weights_.size(), " class weights for ", out_features, " outputs");
  if (!class_weights_.empty()) {
    const double most = *std::max_element(class_weights_.begin(), class_weights_.end());
    require(most > 0, "at least one class weight must be above 0");
    for (const double weight : class_weights_) class_shares_.push_back(weight / most);
  }
  if (loss.kind != kernels::LossKind::quantile) return;
  const std::size_t count = loss.levels.size();
  require(count > 0 && out_features % count == 0, "a quantile loss of ", count,
          " levels takes so many outputs for each target, the network has ", out_features);
  columns_ = out_features / count;
  for (std::size_t j = 0; j < out_features; ++j) {
    levels_.push_back(static_cast<T>(loss.levels[j % count]));
  }
}

template <class T>
void Targets<T>::check(const Samples<T>& samples) const {
  const std::size_t rows = samples.rows();
  if (samples.classes) {
    require(cross_entropy_, "classes are for cross entropy alone");
    for (std::size_t i = 0; i < rows; ++i) {
      const std::int64_t one = samples.classes[i];
      require(one >= 0 && static_cast<std::uint64_t>(one) < out_features_, "targets[", i,
              "] is class ", one, ", the network has outputs for ", out_features_);
    }
  } else {
    const ConstMatrixView<T>& y = samples.targets;
    require(y.rows == rows && y.columns == columns_, "targets has shape (", y.rows, ", ", y.columns,
            "), expected (", rows, ", ", columns_, ")");
  }
  for (std::size_t i = 0; samples.weights && i < rows; ++i) {
    const double weight = samples.weights[i];
    require(std::isfinite(weight) && weight >= 0, "sample_weight[", i, "] is ", weight,
            ", expected a finite number that is not negative");
  }
}

template <class T>
double Targets<T>::weight(const Samples<T>& samples, std::size_t row) const {
  double weight = samples.weights ? samples.weights[row] : 1;
  if (samples.classes && !class_shares_.empty()) {
    weight *= class_shares_[static_cast<std::size_t>(samples.classes[row])];
  }
  return weight;
}

template <class T>
void Targets<T>::write(const Samples<T>& samples, std::size_t row, T* to) const {
  if (samples.classes) {
    const auto own = static_cast<std::size_t>(samples.classes[row]);
    if (class_weights_.empty() || smoothing_ == 0) {
      std::fill_n(to, out_features_, static_cast<T>(even_));
      to[own] = static_cast<T>(1 - smoothing_ + even_);
      return;
    }
    // The weight of the sample has that of its class already.
    const double share = class_shares_[own];
    for (std::size_t j = 0; j < out_features_; ++j) {
      const double p = j == own ? 1 - smoothing_ + even_ : even_;
      to[j] = static_cast<T>(share > 0 ? p * class_shares_[j] / share : 0);
    }
    return;
  }
  if (as_given_ && samples.targets.column_stride == 1) {
    const T* const from = samples.targets.row(row);
    for (std::size_t j = 0; j < columns_; ++j) to[j] = from[j];
    return;
  }
  const std::size_t repeat = out_features_ / columns_;
  for (std::size_t j = 0; j < columns_; ++j) {
    const T given = samples.targets(row, j);
    if (repeat > 1) {
      std::fill_n(to + j * repeat, repeat, given);
    } else if (smoothing_ == 0 && class_weights_.empty()) {
      to[j] = given;
    } else {
      const double p = (1 - smoothing_) * static_cast<double>(given) + even_;
      to[j] = static_cast<T>(class_weights_.empty() ? p : p * class_weights_[j]);
    }
  }
}

#define LAMINET_INSTANTIATE(T) template class Targets<T>;
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet
