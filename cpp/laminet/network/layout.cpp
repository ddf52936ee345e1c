#include "laminet/network/layout.h"

#include <algorithm>
#include <limits>
#include <variant>

#include "laminet/network/overloaded.h"

namespace laminet {
namespace {

constexpr std::size_t kNever = std::numeric_limits<std::size_t>::max();

// The first step that writes a buffer and the last that reads it. The input is written before all
// steps, the output read after them.
struct Use {
  std::size_t first_write = kNever;
  std::size_t last_read = 0;
};

std::vector<Use> uses_of(std::size_t buffers, std::span<const Step> steps, std::size_t output) {
  std::vector<Use> uses(buffers);
  for (std::size_t s = 0; s < steps.size(); ++s) {
    for (const Columns& in : steps[s].inputs) uses[in.buffer].last_read = s;
    Use& written = uses[steps[s].output.buffer];
    if (written.first_write == kNever) written.first_write = s;
    written.last_read = std::max(written.last_read, s);
  }
  uses[Program::kInput].first_write = 0;
  uses[output].last_read = steps.size();
  return uses;
}

bool whole(const Columns& part, std::span<const std::size_t> buffers) {
  return part.first == 0 && part.count == buffers[part.buffer];
}

// What the layout has to know of an operation. Each one answers: a wrong answer shows only where
// buffers happen to be shared.
struct Habits {
  // Its result may be written over its first or its second input, where these are as wide: over
  // none that it reads after it began to write.
  bool over_first = false;
  bool over_second = false;
  // The gradients of its parameters read its first input's values, beside what it keeps.
  bool keeps_input = false;
  // What it reads it may read twice: the way back always adds.
  bool reads_twice = false;

  bool over(std::size_t input) const { return input == 0 ? over_first : input == 1 && over_second; }
};

Habits habits(const Step& step) {
  return std::visit(
      Overloaded{[](const DenseStep&) { return Habits{.over_second = true, .keeps_input = true}; },
                 [](const ActivationStep&) { return Habits{.over_first = true}; },
                 [](const RescaleStep&) { return Habits{.over_first = true}; },
                 [](const NormStep&) { return Habits{.over_first = true}; },
                 [](const SoftmaxStep&) { return Habits{.over_first = true}; },
                 [](const SelectStep&) { return Habits{.reads_twice = true}; },
                 [](const CopyStep&) { return Habits{.over_first = true}; },
                 [](const DropoutStep&) { return Habits{.over_first = true}; },
                 [](const SumStep&) { return Habits{.over_first = true, .over_second = true}; }},
      step.operation);
}

// Elements of memory for each row: buffers begin on cache lines.
std::size_t extent(std::size_t columns) { return (columns + 15) / 16 * 16; }

struct Interval {
  std::size_t first = kNever;
  std::size_t last = 0;
  std::size_t columns = 0;

  bool meets(const Interval& other) const { return first <= other.last && other.first <= last; }
};

}  // namespace

std::vector<std::size_t> shared_buffers(std::span<const std::size_t> buffers,
                                        std::span<const Step> steps, std::size_t output,
                                        bool keep_inputs) {
  const std::vector<Use> uses = uses_of(buffers.size(), steps, output);
  std::vector<bool> kept(buffers.size(), false);
  for (const Step& step : steps) {
    if (keep_inputs && habits(step).keeps_input) kept[step.inputs[0].buffer] = true;
  }
  std::vector<std::size_t> shared(buffers.size());
  for (std::size_t b = 0; b < buffers.size(); ++b) shared[b] = b;
  for (std::size_t s = 0; s < steps.size(); ++s) {
    const Step& step = steps[s];
    const Habits own = habits(step);
    if (!whole(step.output, buffers)) continue;
    for (std::size_t i = 0; i < step.inputs.size(); ++i) {
      const Columns& in = step.inputs[i];
      const auto reads = std::count_if(
          step.inputs.begin(), step.inputs.end(),
          [&](const Columns& other) { return shared[other.buffer] == shared[in.buffer]; });
      if (in.buffer == Program::kInput || in.buffer == output || !whole(in, buffers)) continue;
      if (reads != 1 || uses[in.buffer].last_read != s || kept[in.buffer]) continue;
      if (in.count != step.output.count || !own.over(i)) continue;
      shared[step.output.buffer] = shared[in.buffer];
      break;
    }
  }
  return shared;
}

Layout reusing_layout(std::span<const std::size_t> buffers, std::span<const Step> steps,
                      std::size_t output, std::span<const std::size_t> shared,
                      Direction direction) {
  const std::vector<Use> uses = uses_of(buffers.size(), steps, output);
  std::vector<Interval> needed(buffers.size());  // by the first of those that share
  for (std::size_t b = 0; b < buffers.size(); ++b) {
    Interval& one = needed[shared[b]];
    one.columns = buffers[b];  // those that share are of one width
    // Backward the same intervals, read from their ends.
    one.first = std::min(one.first, uses[b].first_write);
    one.last = std::max(one.last, uses[b].last_read);
  }
  std::vector<std::size_t> order;
  std::vector<bool> outside(buffers.size(), false);
  outside[Program::kInput] = true;
  if (direction == Direction::forward) outside[shared[output]] = true;
  for (std::size_t b = 0; b < buffers.size(); ++b) {
    if (shared[b] == b && !outside[b]) order.push_back(b);
  }
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return direction == Direction::forward ? needed[a].first < needed[b].first
                                           : needed[a].last > needed[b].last;
  });
  Layout layout;
  layout.places.resize(buffers.size());
  std::vector<std::size_t> placed;
  for (const std::size_t b : order) {
    // The first gap that is wide enough among those that are needed at the same time.
    std::vector<std::size_t> others;
    for (const std::size_t p : placed) {
      if (needed[p].meets(needed[b])) others.push_back(p);
    }
    std::sort(others.begin(), others.end(), [&](std::size_t a, std::size_t c) {
      return layout.places[a].start < layout.places[c].start;
    });
    std::size_t start = 0;
    for (const std::size_t p : others) {
      if (layout.places[p].start >= start + extent(needed[b].columns)) break;
      start = std::max(start, layout.places[p].start + extent(needed[p].columns));
    }
    layout.places[b] = {Place::Where::memory, start, row_stride(needed[b].columns)};
    layout.columns = std::max(layout.columns, start + extent(needed[b].columns));
    placed.push_back(b);
  }
  for (std::size_t b = 0; b < buffers.size(); ++b) {
    if (!outside[shared[b]]) layout.places[b] = layout.places[shared[b]];
    if (outside[shared[b]]) layout.places[b].where = Place::Where::output;
  }
  layout.places[Program::kInput].where = Place::Where::input;
  return layout;
}

Layout keeping_layout(std::span<const std::size_t> buffers, std::size_t output,
                      std::span<const std::size_t> shared) {
  Layout layout;
  layout.places.resize(buffers.size());
  for (std::size_t b = 0; b < buffers.size(); ++b) {
    if (shared[b] != b) continue;
    if (b == shared[output]) {
      layout.places[b].where = Place::Where::output;
    } else if (b == Program::kInput) {
      layout.places[b].where = Place::Where::input;
    } else {
      layout.places[b] = {Place::Where::memory, layout.columns, row_stride(buffers[b])};
      layout.columns += extent(buffers[b]);
    }
  }
  for (std::size_t b = 0; b < buffers.size(); ++b) layout.places[b] = layout.places[shared[b]];
  return layout;
}

Layout separate_layout(std::span<const std::size_t> columns) {
  Layout layout;
  for (const std::size_t width : columns) {
    layout.places.push_back({Place::Where::memory, layout.columns, row_stride(width)});
    layout.columns += extent(width);
  }
  return layout;
}

std::vector<Backward> backward_of(std::span<const std::size_t> buffers, std::span<const Step> steps,
                                  std::size_t output) {
  std::vector<Backward> result(steps.size());
  std::vector<bool> written(buffers.size(), false);
  written[output] = true;
  for (std::size_t s = steps.size(); s-- > 0;) {
    const bool twice = habits(steps[s]).reads_twice;
    for (const Columns& in : steps[s].inputs) {
      const bool part = !whole(in, buffers) || twice;
      const bool partial = !written[in.buffer] && part;
      if (partial) result[s].zeroed.push_back(in.buffer);
      result[s].adds.push_back(written[in.buffer] || partial);
      written[in.buffer] = true;
    }
  }
  return result;
}

}  // namespace laminet
