#include "laminet/network/build.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "laminet/base/check.h"
#include "laminet/base/types.h"
#include "laminet/network/layer_shapes.h"
#include "laminet/network/overloaded.h"
#include "laminet/network/parameter_layout.h"
#include "laminet/network/parameters.h"

namespace laminet {
namespace {

template <class T>
class Builder {
  // Functions that follow a layer and its copies, and where they stand; often none.
  struct Functions {
    Copies<ActivationView<T>> copies;
    LayerPath path;
  };

 public:
  Builder(Series<T> layers, std::size_t in_features)
      : layers_(layers), numbers_(layers), buffers_{in_features} {}

  Built<T> finish(Head head) && {
    Columns out = run({layers_}, {Program::kInput, 0, buffers_[0]}, true, nullptr);
    if (out.buffer == Program::kInput || out.count != buffers_[out.buffer]) {
      const Columns to = fresh(out.count);
      add(CopyStep{}, {out}, to);
      out = to;
    }
    LayerNumbers<T> numbers = std::move(numbers_).finish(steps_);
    Program program(std::move(buffers_), std::move(steps_), out.buffer);
    if (head != Head::none) program = program.with_head(head);
    return {std::move(program), std::move(numbers)};
  }

 private:
  // Several series of equal layers at once, one in all other cases. They read the same columns
  // where `shared`, else each its own of `in`, side by side. What they give is side by side, in
  // `target` where that is given.
  Columns run(const std::vector<Series<T>>& copies, Columns in, bool shared,
              const Columns* target) {
    const Series<T> layers = copies[0];
    for (std::size_t l = 0; l < layers.size(); ++l) {
      const Copies<LayerView<T>> same = at(copies, l);
      // A function that follows is part of a layer that has none.
      const auto* dense = std::get_if<DenseView<T>>(&layers[l].kind);
      const bool open = dense ? dense->activation.kind == ActivationKind::identity
                              : std::holds_alternative<ResidualView<T>>(layers[l].kind);
      Functions after;
      path_.push_back(static_cast<std::uint32_t>(l));
      if (open && l + 1 < layers.size() &&
          std::holds_alternative<ActivationView<T>>(layers[l + 1].kind)) {
        after.copies = all<ActivationView<T>>(at(copies, l + 1));
        after.path = path_;
        after.path.back() += 1;
        ++l;
      }
      in = layer(same, in, shared, after, l + 1 == layers.size() ? target : nullptr);
      path_.pop_back();
      shared = copies.size() == 1;
    }
    // Nothing has been written there: no layer, or one that only shows what there is.
    if (target && in != *target) {
      add(CopyStep{}, {in}, *target, copies.size());
      return *target;
    }
    return in;
  }

  Columns layer(const Copies<LayerView<T>>& same, Columns in, bool shared, const Functions& after,
                const Columns* target) {
    const auto unary = [&](Operation operation) {
      const Columns out = target ? *target : fresh(in.count);
      add(std::move(operation), {in}, out, same.size());
      return out;
    };
    return std::visit(
        Overloaded{
            [&](const DenseView<T>&) {
              return product(all<DenseView<T>>(same), in, shared, nullptr, after, target);
            },
            [&](const ActivationView<T>& own) {
              const auto functions = all<ActivationView<T>>(same);
              return unary(ActivationStep{own.activation,
                                          numbers_.units_of(functions, in.count / same.size())});
            },
            [&](const RescaleView<T>&) {
              return unary(numbers_.rescale(all<RescaleView<T>>(same), in.count / same.size()));
            },
            [&](const NormView<T>&) {
              return unary(numbers_.norm(all<NormView<T>>(same), in.count / same.size()));
            },
            [&](const SelectView& select) { return selected(select, in, target); },
            [&](const DropoutView& own) {
              return own.rate > 0 ? unary(DropoutStep{own.rate}) : in;
            },
            [&](const ParallelView<T>& parallel) { return side_by_side(parallel, in, target); },
            [&](const ResidualView<T>&) {
              return sum_with(all<ResidualView<T>>(same), in, shared, after, target);
            }},
        same[0]->kind);
  }

  static Copies<LayerView<T>> at(const std::vector<Series<T>>& copies, std::size_t l) {
    Copies<LayerView<T>> same;
    for (const Series<T>& copy : copies) same.push_back(&copy[l]);
    return same;
  }

  template <class Kind>
  static Copies<Kind> all(const Copies<LayerView<T>>& same) {
    Copies<Kind> result;
    for (const LayerView<T>* one : same) result.push_back(&std::get<Kind>(one->kind));
    return result;
  }

  // `addend` may be null, `after` empty.
  Columns product(const Copies<DenseView<T>>& same, Columns in, bool shared, const Columns* addend,
                  const Functions& after, const Columns* target) {
    const std::size_t copies = same.size();
    const std::size_t n = same[0]->weight.rows;
    const std::size_t k = same[0]->weight.columns;
    const std::size_t groups = shared ? 1 : copies;
    const DenseBlocks blocks = numbers_.dense(same);
    const bool own = after.copies.empty();
    const Activation& activation = own ? same[0]->activation : after.copies[0]->activation;
    const UnitParameters units =
        own ? numbers_.units_of(same, n) : numbers_.units_of(after.copies, n);
    const Columns out = target ? *target : fresh(copies * n);
    add(DenseStep{k, shared ? copies * n : n, groups, activation, units, blocks.weight,
                  blocks.bias},
        {in}, out, copies);
    if (addend) steps_.back().inputs.push_back(*addend);
    steps_.back().origin.function = after.path;
    return out;
  }

  Columns selected(const SelectView& select, Columns in, const Columns* target) {
    const std::vector<std::size_t>& columns = select.columns;
    bool adjacent = true;
    for (std::size_t i = 0; i < columns.size(); ++i) {
      adjacent = adjacent && columns[i] == columns[0] + i;
    }
    if (adjacent) return {in.buffer, in.first + columns[0], columns.size()};
    const Columns out = target ? *target : fresh(columns.size());
    SelectStep step;
    for (const std::size_t column : columns) {
      step.columns.push_back(static_cast<std::uint32_t>(column));
    }
    add(std::move(step), {in}, out);
    return out;
  }

  Columns side_by_side(const ParallelView<T>& parallel, Columns in, const Columns* target) {
    const std::size_t count = parallel.branches.size();
    const Series<T> front = parallel.branches[0];
    std::vector<std::size_t> widths;
    std::size_t width = 0;
    for (const SeriesView<T>& branch : parallel.branches) {
      widths.push_back(features_given<T>(branch, in.count));
      width += widths.back();
    }
    const bool concat = parallel.join == Join::concat;
    const Columns joined = concat && target ? *target : fresh(width);
    // A product takes the one input for all of them.
    const bool equal =
        count > 1 && !front.empty() && std::holds_alternative<DenseView<T>>(front[0].kind) &&
        std::all_of(parallel.branches.begin(), parallel.branches.end(),
                    [&](const SeriesView<T>& branch) { return alike<T>(front, branch); });
    if (equal) {
      path_.push_back(kEachBranch);
      run({parallel.branches.begin(), parallel.branches.end()}, in, true, &joined);
      path_.pop_back();
    } else {
      std::size_t first = joined.first;
      for (std::size_t b = 0; b < count; ++b) {
        const Columns part{joined.buffer, first, widths[b]};
        path_.push_back(static_cast<std::uint32_t>(b));
        run({Series<T>(parallel.branches[b])}, in, true, &part);
        path_.pop_back();
        first += widths[b];
      }
    }
    if (concat) return joined;
    const Columns out = target ? *target : fresh(widths[0]);
    const double factor = parallel.join == Join::mean ? 1.0 / static_cast<double>(count) : 1.0;
    std::vector<Columns> terms;
    terms.reserve(count);
    for (std::size_t b = 0; b < count; ++b) {
      terms.push_back({joined.buffer, joined.first + b * widths[0], widths[0]});
    }
    add(SumStep{factor}, std::move(terms), out);
    return out;
  }

  // in + f(in), and a function of that where there is one.
  Columns sum_with(const Copies<ResidualView<T>>& same, Columns in, bool shared,
                   const Functions& after, const Columns* target) {
    std::vector<Series<T>> copies;
    for (const ResidualView<T>* one : same) copies.emplace_back(one->layers);
    // The sum is the end of the last product, where that has no function of its own.
    const DenseView<T>* last =
        copies[0].empty() ? nullptr : std::get_if<DenseView<T>>(&copies[0].back().kind);
    if (last && last->activation.kind == ActivationKind::identity) {
      Copies<DenseView<T>> products;
      for (Series<T>& copy : copies) {
        products.push_back(&std::get<DenseView<T>>(copy.back().kind));
        copy = copy.first(copy.size() - 1);
      }
      const Columns before = run(copies, in, shared, nullptr);
      path_.push_back(static_cast<std::uint32_t>(copies[0].size()));
      const Columns out =
          product(products, before, shared && copies[0].empty(), &in, after, target);
      path_.pop_back();
      return out;
    }
    const Columns result = run(copies, in, shared, nullptr);
    const Columns out = target ? *target : fresh(in.count);
    const Columns sum = after.copies.empty() ? out : fresh(in.count);
    add(SumStep{}, {in, result}, sum, same.size());
    if (after.copies.empty()) return out;
    const UnitParameters units = numbers_.units_of(after.copies, in.count / same.size());
    add(ActivationStep{after.copies[0]->activation, units}, {sum}, out, same.size());
    steps_.back().origin.layer = after.path;
    return out;
  }

  // A step of the layer that `path_` leads to, or of so many copies of it.
  void add(Operation operation, std::vector<Columns> inputs, Columns output,
           std::size_t copies = 1) {
    steps_.push_back({std::move(operation), std::move(inputs), output, {path_, {}, copies}});
  }

  Columns fresh(std::size_t columns) {
    buffers_.push_back(columns);
    return {buffers_.size() - 1, 0, columns};
  }

  Series<T> layers_;
  ParameterLayout<T> numbers_;
  std::vector<std::size_t> buffers_;
  std::vector<Step> steps_;
  LayerPath path_;  // of the layer at hand
};

}  // namespace

template <class T>
Built<T> build(std::span<const LayerView<T>> layers, Head head, std::size_t in_features) {
  require(!layers.empty(), "a network needs at least one layer");
  const std::size_t known = features_taken<T>(layers);
  const std::size_t in = known > 0 ? known : in_features;
  require(in > 0, "the layers do not say how many features the network takes");
  require(in_features == 0 || in_features == in, "the network takes ", in, " features, not ",
          in_features);
  (void)features_given<T>(layers, in);
  return Builder<T>(layers, in).finish(head);
}

Program chain_of(std::span<const std::size_t> sizes) {
  std::vector<Step> steps;
  std::size_t parameters = 0;
  for (std::size_t l = 0; l + 1 < sizes.size(); ++l) {
    const ParameterBlock weight{parameters, sizes[l + 1], sizes[l]};
    parameters += round_up(weight.size(), kParameterAlignment);
    steps.push_back({DenseStep{sizes[l], sizes[l + 1], 1, {}, {}, weight, {}},
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
