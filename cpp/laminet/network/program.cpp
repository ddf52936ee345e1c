#include "laminet/network/program.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "laminet/network/layout.h"
#include "laminet/network/steps/steps.h"

namespace laminet {
namespace {

DirectStep direct_of(const Step& step, const Layout& layout) {
  DirectStep result{};
  const auto* dense = std::get_if<DenseStep>(&step.operation);
  constexpr std::size_t kMost = std::numeric_limits<std::uint32_t>::max();
  if (!dense || dense->groups > 1 || dense->units.any() || step.inputs.size() > 1 ||
      layout.columns > kMost)
    return result;
  const auto end = [&](const Columns& columns) -> DirectStep::End {
    const Place& place = layout.places[columns.buffer];
    const auto small = [&](std::size_t value) {
      result.direct = result.direct && value <= kMost;
      return static_cast<std::uint32_t>(value);
    };
    return {place.where, small(place.start), small(place.stride), small(columns.first),
            small(columns.count)};
  };
  result.direct = true;
  result.activation = dense->activation;
  result.in = end(step.inputs[0]);
  result.out = end(step.output);
  return result;
}

}  // namespace

Program::Program(std::vector<std::size_t> buffers, std::vector<Step> steps, std::size_t output)
    : buffers_(std::move(buffers)), steps_(std::move(steps)), output_(output) {
  std::vector<std::size_t> kept;
  for (const Step& step : steps_) {
    if (const auto* dense = std::get_if<DenseStep>(&step.operation)) {
      weights_ += dense->weight.size();
      largest_weight_ = std::max(largest_weight_, dense->weight.size());
      most_inputs_ = std::max(most_inputs_, dense->in_features);
    }
    std::size_t columns = step.output.count;
    for (const Columns& in : step.inputs) columns += in.count;
    widest_step_ = std::max(widest_step_, columns);
    first_kept_.push_back(kept.size());
    for (const std::size_t own : kept_columns(step)) kept.push_back(own);
  }
  kept_ = separate_layout(kept);
  const auto shared = shared_buffers(buffers_, steps_, output_, false);
  forward_ = reusing_layout(buffers_, steps_, output_, shared, Direction::forward);
  for (const Step& step : steps_) direct_.push_back(direct_of(step, forward_));
  adjoint_ = reusing_layout(buffers_, steps_, output_, shared, Direction::backward);
  tape_ = keeping_layout(buffers_, output_, shared_buffers(buffers_, steps_, output_, true));
  backward_ = backward_of(buffers_, steps_, output_);
}

std::optional<std::size_t> Program::only_writer(std::size_t buffer) const {
  for (std::size_t s = 0; s < steps_.size(); ++s) {
    if (steps_[s].output == Columns{buffer, 0, buffers_[buffer]}) return s;
  }
  return std::nullopt;
}

std::optional<std::size_t> Program::only_reader(std::size_t buffer) const {
  std::optional<std::size_t> found;
  for (std::size_t s = 0; s < steps_.size(); ++s) {
    for (const Columns& in : steps_[s].inputs) {
      if (in.buffer != buffer) continue;
      if (found || in != Columns{buffer, 0, buffers_[buffer]}) return std::nullopt;
      found = s;
    }
  }
  return found;
}

Program Program::with_head(Head head) const {
  std::vector<std::size_t> buffers = buffers_;
  std::vector<Step> steps = steps_;
  Columns out = output();
  if (std::holds_alternative<SoftmaxStep>(steps.back().operation)) {
    out = steps.back().inputs[0];
    steps.pop_back();
    buffers.pop_back();
  }
  if (head != Head::none) {
    const Columns headed{buffers.size(), 0, out.count};
    buffers.push_back(out.count);
    steps.push_back({SoftmaxStep{head}, {out}, headed});
    out = headed;
  }
  return Program(std::move(buffers), std::move(steps), out.buffer);
}

}  // namespace laminet
