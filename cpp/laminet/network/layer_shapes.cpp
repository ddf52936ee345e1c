#include "laminet/network/layer_shapes.h"

#include <algorithm>
#include <type_traits>
#include <variant>

#include "laminet/base/check.h"
#include "laminet/base/types.h"
#include "laminet/network/overloaded.h"

namespace laminet {
namespace {

// A layer's place, for messages: "layer 2", "layer 2, branch 0, layer 1".
std::string place_of(const std::string& above, std::size_t layer) {
  return above + (above.empty() ? "" : ", ") + "layer " + std::to_string(layer);
}

// What one layer makes of `in` features.
template <class T>
class Given {
 public:
  Given(std::size_t in, const std::string& place, const std::string& giver)
      : in_(in), place_(place), giver_(giver) {}

  std::size_t operator()(const DenseView<T>& dense) const {
    const ConstMatrixView<T>& w = dense.weight;
    require(w.rows > 0 && w.columns > 0,
            "weight must have at least one row and one column, got shape (", w.rows, ", ",
            w.columns, ")");
    check_activation<T>(dense.activation);
    takes(w.columns);
    return w.rows;
  }

  std::size_t operator()(const ActivationView<T>& own) const {
    check_activation<T>(own.activation);
    return by_feature(own.features);
  }
  std::size_t operator()(const RescaleView<T>& own) const { return by_feature(own.features); }
  std::size_t operator()(const NormView<T>& own) const { return by_feature(own.features); }

  std::size_t operator()(const SelectView& select) const {
    require(!select.columns.empty(), place_, " selects no columns");
    for (const std::size_t column : select.columns) {
      require(column < in_, place_, " selects column ", column, " of ", in_);
    }
    return select.columns.size();
  }

  std::size_t operator()(const DropoutView& own) const {
    require(own.rate >= 0 && own.rate < 1, place_, " has the dropout rate ", own.rate,
            ", expected at least 0 and less than 1");
    return in_;
  }

  std::size_t operator()(const ParallelView<T>& parallel) const {
    require(!parallel.branches.empty(), place_, " has no branches");
    std::size_t all = 0;
    std::size_t first = 0;
    for (std::size_t b = 0; b < parallel.branches.size(); ++b) {
      const std::string branch = place_ + ", branch " + std::to_string(b);
      const std::size_t out = features_given<T>(parallel.branches[b], in_, branch, giver_);
      if (b == 0) first = out;
      require(parallel.join == Join::concat || out == first, branch, " gives ", out,
              " features, branch 0 gives ", first, ": they cannot be added");
      all += out;
    }
    return parallel.join == Join::concat ? all : first;
  }

  std::size_t operator()(const ResidualView<T>& residual) const {
    const std::size_t out = features_given<T>(residual.layers, in_, place_, giver_);
    require(out == in_, place_, " gives ", out, " features of ", in_, ": they cannot be added");
    return in_;
  }

 private:
  void takes(std::size_t features) const {
    require(features == in_, place_, " takes ", features, " features, ", giver_, " gives ", in_);
  }
  std::size_t by_feature(std::size_t features) const {
    if (features > 0) takes(features);
    return in_;
  }

  std::size_t in_;
  const std::string& place_;
  const std::string& giver_;
};

// How many features a layer says that it takes, 0 where it does not; and whether it gives as many,
// so that what follows it may say it.
struct Taken {
  std::size_t features = 0;
  bool gives_as_many = false;
};

template <class T>
Taken taken(const LayerView<T>& layer) {
  return std::visit(
      Overloaded{[](const DenseView<T>& dense) { return Taken{dense.weight.columns, false}; },
                 [](const ActivationView<T>& own) { return Taken{own.features, true}; },
                 [](const RescaleView<T>& own) { return Taken{own.features, true}; },
                 [](const NormView<T>& own) { return Taken{own.features, true}; },
                 [](const SelectView&) { return Taken{}; },
                 [](const DropoutView&) { return Taken{0, true}; },
                 [](const ParallelView<T>& parallel) {
                   Taken found;
                   for (const SeriesView<T>& branch : parallel.branches) {
                     if (found.features == 0) found.features = features_taken<T>(branch);
                   }
                   return found;
                 },
                 [](const ResidualView<T>& residual) {
                   return Taken{features_taken<T>(residual.layers), true};
                 }},
      layer.kind);
}

}  // namespace

template <class T>
std::size_t features_taken(Series<T> layers) {
  for (const LayerView<T>& layer : layers) {
    const Taken own = taken(layer);
    if (own.features > 0 || !own.gives_as_many) return own.features;
  }
  return 0;
}

template <class T>
std::size_t features_given(Series<T> layers, std::size_t in, const std::string& above,
                           const std::string& before) {
  std::string giver = before;
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const std::string place = place_of(above, l);
    in = std::visit(Given<T>(in, place, giver), layers[l].kind);
    giver = place;
  }
  return in;
}

template <class T>
bool alike(Series<T> a, Series<T> b) {
  const auto units_alike = [](const UnitArrays<T>& x, const UnitArrays<T>& y) {
    return !x.alphas == !y.alphas && !x.betas == !y.betas;
  };
  const auto layers_alike = [&](const LayerView<T>& left, const LayerView<T>& right) {
    if (left.kind.index() != right.kind.index()) return false;
    const auto same_kind = [&right](const auto& x) -> const auto& {
      return std::get<std::remove_cvref_t<decltype(x)>>(right.kind);
    };
    return std::visit(
        Overloaded{
            [&](const DenseView<T>& x) {
              const DenseView<T>& y = same_kind(x);
              return x.weight.rows == y.weight.rows && x.weight.columns == y.weight.columns &&
                     !x.bias == !y.bias && x.activation == y.activation &&
                     units_alike(x.units, y.units);
            },
            [&](const ActivationView<T>& x) {
              const ActivationView<T>& y = same_kind(x);
              return x.activation == y.activation && units_alike(x.units, y.units);
            },
            [&](const RescaleView<T>& x) { return x.clip == same_kind(x).clip; },
            [&](const NormView<T>& x) {
              const NormView<T>& y = same_kind(x);
              return x.center == y.center && x.eps == y.eps && !x.weight == !y.weight &&
                     !x.bias == !y.bias;
            },
            [&](const ResidualView<T>& x) { return alike<T>(x.layers, same_kind(x).layers); },
            [&](const DropoutView& x) { return x.rate == same_kind(x).rate; },
            // With columns of their own, which are not to be found among the columns of
            // several copies.
            [](const SelectView&) { return false; }, [](const ParallelView<T>&) { return false; }},
        left.kind);
  };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), layers_alike);
}

#define LAMINET_INSTANTIATE(T)                                                    \
  template std::size_t features_taken(Series<T>);                                 \
  template std::size_t features_given(Series<T>, std::size_t, const std::string&, \
                                      const std::string&);                        \
  template bool alike(Series<T>, Series<T>);
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet
