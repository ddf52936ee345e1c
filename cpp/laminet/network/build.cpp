#include "laminet/network/build.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "laminet/base/check.h"
#include "laminet/base/types.h"
#include "laminet/network/parameters.h"

namespace laminet {
namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};

template <class T>
using Series = std::span<const LayerView<T>>;

// A layer's place, for messages: "layer 2", "layer 2, branch 0, layer 1".
std::string place_of(const std::string& above, std::size_t layer) {
  return above + (above.empty() ? "" : ", ") + "layer " + std::to_string(layer);
}

// How many features the layers take, as the first of them that knows says; 0 where none does.
template <class T>
std::size_t taken(Series<T> layers) {
  for (const LayerView<T>& layer : layers) {
    const std::size_t features = std::visit(
        Overloaded{[](const DenseView<T>& dense) { return dense.weight.columns; },
                   [](const Activation&) { return std::size_t{0}; },
                   [](const SelectView&) { return std::size_t{0}; },
                   [](const ParallelView<T>& parallel) {
                     std::size_t found = 0;
                     for (const auto& branch : parallel.branches) {
                       if (found == 0) found = taken<T>(branch);
                     }
                     return found;
                   },
                   [](const ResidualView<T>& residual) { return taken<T>(residual.layers); }},
        layer.kind);
    const bool passes_on = std::holds_alternative<Activation>(layer.kind);
    if (features > 0 || !passes_on) return features;
  }
  return 0;
}

// What the layers make of `in` features. Throws where they do not fit; `before` gives them.
template <class T>
std::size_t given(Series<T> layers, std::size_t in, const std::string& above,
                  const std::string& before) {
  std::string giver = before;
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const std::string place = place_of(above, l);
    const auto takes = [&](std::size_t features) {
      require(features == in, place, " takes ", features, " features, ", giver, " gives ", in);
    };
    in = std::visit(
        Overloaded{[&](const DenseView<T>& dense) {
                     const ConstMatrixView<T>& w = dense.weight;
                     require(w.rows > 0 && w.columns > 0,
                             "weight must have at least one row and one column, got shape (",
                             w.rows, ", ", w.columns, ")");
                     check_activation<T>(dense.activation);
                     takes(w.columns);
                     return w.rows;
                   },
                   [&](const Activation& activation) {
                     check_activation<T>(activation);
                     return in;
                   },
                   [&](const SelectView& select) {
                     require(select.count > 0 && select.first + select.count <= in, place,
                             " selects columns ", select.first, " to ",
                             select.first + select.count - 1, " of ", in);
                     return select.count;
                   },
                   [&](const ParallelView<T>& parallel) {
                     require(!parallel.branches.empty(), place, " has no branches");
                     std::size_t all = 0;
                     std::size_t first = 0;
                     for (std::size_t b = 0; b < parallel.branches.size(); ++b) {
                       const std::string branch = place + ", branch " + std::to_string(b);
                       const std::size_t out = given<T>(parallel.branches[b], in, branch, giver);
                       if (b == 0) first = out;
                       require(parallel.join == Join::concat || out == first, branch, " gives ",
                               out, " features, branch 0 gives ", first, ": they cannot be added");
                       all += out;
                     }
                     return parallel.join == Join::concat ? all : first;
                   },
                   [&](const ResidualView<T>& residual) {
                     const std::size_t out = given<T>(residual.layers, in, place, giver);
                     require(out == in, place, " gives ", out, " features of ", in,
                             ": they cannot be added");
                     return in;
                   }},
        layers[l].kind);
    giver = place;
  }
  return in;
}

template <class T>
bool alike(Series<T> a, Series<T> b) {
  const auto layers_alike = [](const LayerView<T>& x, const LayerView<T>& y) {
    if (x.kind.index() != y.kind.index()) return false;
    return std::visit(
        Overloaded{[&](const DenseView<T>& dense) {
                     const auto& other = std::get<DenseView<T>>(y.kind);
                     return dense.weight.rows == other.weight.rows &&
                            dense.weight.columns == other.weight.columns &&
                            (dense.bias == nullptr) == (other.bias == nullptr) &&
                            dense.activation == other.activation;
                   },
                   [&](const Activation& activation) {
                     return activation == std::get<Activation>(y.kind);
                   },
                   [&](const ResidualView<T>& residual) {
                     return alike<T>(residual.layers, std::get<ResidualView<T>>(y.kind).layers);
                   },
                   // They have columns of their own: not to be found in those of several copies.
                   [&](const auto&) { return false; }},
        x.kind);
  };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), layers_alike);
}

template <class T>
class Builder {
 public:
  explicit Builder(std::size_t in_features) : buffers_{in_features} {}

  Built<T> finish(Series<T> layers, Head head) {
    number(layers);
    const std::vector<Series<T>> one = {layers};
    Columns out = run(one, {Program::kInput, 0, buffers_[0]}, true, nullptr);
    if (out.buffer == Program::kInput || out.count != buffers_[out.buffer]) out = copied(out);
    Program program(std::move(buffers_), std::move(steps_), out.buffer);
    if (head != Head::none) program = program.with_head(head);
    return {std::move(program), parameters_, std::move(layers_), std::move(blocks_)};
  }

 private:
  // Several series of equal layers at once, one in all other cases. They read the same columns
  // where `shared`, else each its own of `in`, side by side. What they give is side by side, in
  // `target` where that is given.
  Columns run(const std::vector<Series<T>>& copies, Columns in, bool shared,
              const Columns* target) {
    const Series<T> layers = copies[0];
    for (std::size_t l = 0; l < layers.size(); ++l) {
      // A function that follows is part of a layer that has none.
      const Activation* after = nullptr;
      if (l + 1 < layers.size()) after = std::get_if<Activation>(&layers[l + 1].kind);
      const auto* dense = std::get_if<DenseView<T>>(&layers[l].kind);
      const bool takes_it =
          after && (dense ? dense->activation.kind == ActivationKind::identity
                          : std::holds_alternative<ResidualView<T>>(layers[l].kind));
      if (!takes_it) after = nullptr;
      const bool last = l + (after ? 2u : 1u) == layers.size();
      const Columns* to = last ? target : nullptr;
      std::vector<const LayerView<T>*> same;
      for (const Series<T>& copy : copies) same.push_back(&copy[l]);
      in = layer(same, in, shared, after, to);
      if (!std::holds_alternative<Activation>(layers[l].kind)) shared = copies.size() == 1;
      if (after) ++l;
    }
    // Nothing has been written there: no layer, or one that only shows what there is.
    if (target && in != *target) {
      steps_.push_back({CopyStep{}, {in}, *target});
      return *target;
    }
    return in;
  }

  Columns layer(const std::vector<const LayerView<T>*>& same, Columns in, bool shared,
                const Activation* after, const Columns* target) {
    return std::visit(
        Overloaded{
            [&](const DenseView<T>& dense) {
              const Activation& activation = after ? *after : dense.activation;
              return product(all<DenseView<T>>(same), in, shared, nullptr, activation, target);
            },
            [&](const Activation& activation) {
              const Columns out = target ? *target : fresh(in.count);
              steps_.push_back({ActivationStep{activation}, {in}, out});
              return out;
            },
            [&](const SelectView& select) {
              return Columns{in.buffer, in.first + select.first, select.count};
            },
            [&](const ParallelView<T>& parallel) { return side_by_side(parallel, in, target); },
            [&](const ResidualView<T>&) {
              return sum_with(all<ResidualView<T>>(same), in, shared, after, target);
            }},
        same[0]->kind);
  }

  template <class Kind>
  static std::vector<const Kind*> all(const std::vector<const LayerView<T>*>& same) {
    std::vector<const Kind*> result;
    for (const LayerView<T>* one : same) result.push_back(&std::get<Kind>(one->kind));
    return result;
  }

  Columns product(const std::vector<const DenseView<T>*>& same, Columns in, bool shared,
                  const Columns* add, const Activation& activation, const Columns* target) {
    const std::size_t copies = same.size();
    const std::size_t n = same[0]->weight.rows;
    const std::size_t k = same[0]->weight.columns;
    const std::size_t groups = shared ? 1 : copies;
    const ParameterBlock weight = reserve(copies * n, k);
    const ParameterBlock bias = same[0]->bias ? reserve(1, copies * n) : ParameterBlock{};
    for (std::size_t c = 0; c < copies; ++c) {
      DenseBlocks& own = blocks_[numbers_.at(same[c])];
      own.weight = {weight.start + c * n * k, n, k};
      if (bias.rows > 0) own.bias = {bias.start + c * n, 1, n};
    }
    const Columns out = target ? *target : fresh(copies * n);
    Step step{DenseStep{k, copies * n / groups, groups, activation, weight, bias}, {in}, out};
    if (add) step.inputs.push_back(*add);
    steps_.push_back(std::move(step));
    return out;
  }

  Columns side_by_side(const ParallelView<T>& parallel, Columns in, const Columns* target) {
    const std::size_t count = parallel.branches.size();
    std::vector<std::size_t> widths;
    std::size_t width = 0;
    for (const SeriesView<T>& branch : parallel.branches) {
      widths.push_back(given<T>(branch, in.count, "", ""));
      width += widths.back();
    }
    const bool concat = parallel.join == Join::concat;
    const Columns joined = concat && target ? *target : fresh(width);
    const bool equal = count > 1 && !parallel.branches[0].empty() &&
                       std::holds_alternative<DenseView<T>>(parallel.branches[0][0].kind) &&
                       std::all_of(parallel.branches.begin(), parallel.branches.end(),
                                   [&](const SeriesView<T>& branch) {
                                     return alike<T>(parallel.branches[0], branch);
                                   });
    if (equal) {
      run({parallel.branches.begin(), parallel.branches.end()}, in, true, &joined);
    } else {
      std::size_t first = joined.first;
      for (std::size_t b = 0; b < count; ++b) {
        const Columns part{joined.buffer, first, widths[b]};
        run({Series<T>(parallel.branches[b])}, in, true, &part);
        first += widths[b];
      }
    }
    if (concat) return joined;
    const Columns out = target ? *target : fresh(widths[0]);
    Step step{
        SumStep{parallel.join == Join::mean ? 1.0 / static_cast<double>(count) : 1.0}, {}, out};
    for (std::size_t b = 0; b < count; ++b) {
      step.inputs.push_back({joined.buffer, joined.first + b * widths[0], widths[0]});
    }
    steps_.push_back(std::move(step));
    return out;
  }

  // in + f(in), and a function of that.
  Columns sum_with(const std::vector<const ResidualView<T>*>& same, Columns in, bool shared,
                   const Activation* after, const Columns* target) {
    std::vector<Series<T>> copies;
    for (const ResidualView<T>* one : same) copies.emplace_back(one->layers);
    const Activation none;
    // The sum is the end of the last product, where that has no function of its own.
    const DenseView<T>* last =
        copies[0].empty() ? nullptr : std::get_if<DenseView<T>>(&copies[0].back().kind);
    if (last && last->activation.kind == ActivationKind::identity) {
      std::vector<const DenseView<T>*> products;
      for (Series<T>& copy : copies) {
        products.push_back(&std::get<DenseView<T>>(copy.back().kind));
        copy = copy.first(copy.size() - 1);
      }
      const Columns before = run(copies, in, shared, nullptr);
      return product(products, before, shared && copies[0].empty(), &in, after ? *after : none,
                     target);
    }
    const Columns out = target ? *target : fresh(in.count);
    const Columns sum = after ? fresh(in.count) : out;
    const Columns result = run(copies, in, shared, nullptr);
    steps_.push_back({SumStep{}, {in, result}, sum});
    if (after) steps_.push_back({ActivationStep{*after}, {sum}, out});
    return out;
  }

  Columns copied(Columns from) {
    const Columns to = fresh(from.count);
    steps_.push_back({CopyStep{}, {from}, to});
    return to;
  }

  Columns fresh(std::size_t columns) {
    buffers_.push_back(columns);
    return {buffers_.size() - 1, 0, columns};
  }

  ParameterBlock reserve(std::size_t rows, std::size_t columns) {
    const ParameterBlock block{parameters_, rows, columns};
    parameters_ += round_up(checked_product(rows, columns), kParameterAlignment);
    return block;
  }

  // The dense layers, in the order of the tree.
  void number(Series<T> layers) {
    for (const LayerView<T>& layer : layers) {
      std::visit(Overloaded{[&](const DenseView<T>& dense) {
                              numbers_[&dense] = layers_.size();
                              layers_.push_back(dense);
                              blocks_.emplace_back();
                            },
                            [&](const ParallelView<T>& parallel) {
                              for (const SeriesView<T>& branch : parallel.branches) number(branch);
                            },
                            [&](const ResidualView<T>& residual) { number(residual.layers); },
                            [](const auto&) {}},
                 layer.kind);
    }
  }

  std::vector<std::size_t> buffers_;
  std::vector<Step> steps_;
  std::size_t parameters_ = 0;
  std::map<const DenseView<T>*, std::size_t> numbers_;
  std::vector<DenseView<T>> layers_;
  std::vector<DenseBlocks> blocks_;
};

}  // namespace

template <class T>
Built<T> build(std::span<const LayerView<T>> layers, Head head, std::size_t in_features) {
  require(!layers.empty(), "a network needs at least one layer");
  const std::size_t known = taken<T>(layers);
  const std::size_t in = known > 0 ? known : in_features;
  require(in > 0, "the layers do not say how many features the network takes");
  require(in_features == 0 || in_features == in, "the network takes ", in, " features, not ",
          in_features);
  (void)given<T>(layers, in, "", "the input");
  return Builder<T>(in).finish(layers, head);
}

Program chain_of(std::span<const std::size_t> sizes) {
  std::vector<Step> steps;
  std::size_t parameters = 0;
  for (std::size_t l = 0; l + 1 < sizes.size(); ++l) {
    const ParameterBlock weight{parameters, sizes[l + 1], sizes[l]};
    parameters += round_up(weight.size(), kParameterAlignment);
    steps.push_back({DenseStep{sizes[l], sizes[l + 1], 1, {}, weight, {}},
                     {{l, 0, sizes[l]}},
                     {l + 1, 0, sizes[l + 1]}});
  }
  return Program({sizes.begin(), sizes.end()}, std::move(steps), sizes.size() - 1);
}

#define LAMINET_INSTANTIATE(T) \
  template Built<T> build(std::span<const LayerView<T>>, Head, std::size_t);
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet
