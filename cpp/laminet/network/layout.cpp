#include "laminet/network/layout.h"

#include <algorithm>
#include <limits>

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

bool keeps_input(const Step& step, std::size_t input) {
  return std::holds_alternative<DenseStep>(step.operation) && input == 0;
}

// Whether the result may be written over that input: not over what the step reads after it began to
// write.
bool may_overwrite(const Step& step, std::size_t input) {
  if (std::holds_alternative<DenseStep>(step.operation)) return input == 1;
  return input <= 1 && !std::holds_alternative<SelectStep>(step.operation);
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
    for (std::size_t i = 0; i < step.inputs.size(); ++i) {
      if (keep_inputs && keeps_input(step, i)) kept[step.inputs[i].buffer] = true;
    }
  }
  std::vector<std::size_t> shared(buffers.size());
  for (std::size_t b = 0; b < buffers.size(); ++b) shared[b] = b;
  for (std::size_t s = 0; s < steps.size(); ++s) {
    const Step& step = steps[s];
    if (!whole(step.output, buffers)) continue;
    for (std::size_t i = 0; i < step.inputs.size(); ++i) {
      const Columns& in = step.inputs[i];
      const auto reads = std::count_if(
          step.inputs.begin(), step.inputs.end(),
          [&](const Columns& other) { return shared[other.buffer] == shared[in.buffer]; });
      if (in.buffer == Program::kInput || in.buffer == output || !whole(in, buffers)) continue;
      if (reads != 1 || uses[in.buffer].last_read != s || kept[in.buffer]) continue;
      if (in.count != step.output.count || !may_overwrite(step, i)) continue;
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
    for (const Columns& in : steps[s].inputs) {
      // What a selection reads it may read twice: it always adds.
      const bool part =
          !whole(in, buffers) || std::holds_alternative<SelectStep>(steps[s].operation);
      const bool partial = !written[in.buffer] && part;
      if (partial) result[s].zeroed.push_back(in.buffer);
      result[s].adds.push_back(written[in.buffer] || partial);
      written[in.buffer] = true;
    }
  }
  return result;
}

}  // namespace laminet
