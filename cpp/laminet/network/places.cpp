#include "laminet/network/places.h"

#include <stdexcept>
#include <variant>

#include "laminet/network/parameter_layout.h"

namespace laminet {
namespace {

// Of the step one of whose rows of parameters `part` is of; row_of(operation) gives that row.
ColumnsPlace place_of(const Program& program, const ParameterBlock& part, auto row_of) {
  const std::size_t steps = program.steps().size();
  if (part.rows == 0) return {steps, 0};
  for (std::size_t s = 0; s < steps; ++s) {
    const ParameterBlock all = row_of(program.steps()[s].operation);
    if (part.start >= all.start && part.start - all.start < all.size()) {
      return {s, part.start - all.start};
    }
  }
  throw std::logic_error("parameters of no step");
}

const ParameterBlock& either(const ParameterBlock& a, const ParameterBlock& b) {
  return a.rows > 0 ? a : b;
}

}  // namespace

LayerPlace place_of(const Program& program, const ParameterBlock& weight) {
  for (std::size_t s = 0; s < program.steps().size(); ++s) {
    const DenseStep* const dense = program.dense(s);
    if (!dense || weight.start < dense->weight.start) continue;
    const std::size_t from = weight.start - dense->weight.start;
    if (from >= dense->weight.size()) continue;
    const std::size_t row = from / dense->in_features;
    return {s, row / dense->out_features, row};
  }
  throw std::logic_error("a layer of no step");
}

ColumnsPlace place_of(const Program& program, const NormBlocks& blocks) {
  return place_of(program, either(blocks.weight, blocks.bias), [](const Operation& operation) {
    const auto* const norm = std::get_if<NormStep>(&operation);
    return norm ? either(norm->weight, norm->bias) : ParameterBlock{};
  });
}

ColumnsPlace place_of(const Program& program, const UnitBlocks& blocks) {
  return place_of(program, either(blocks.alphas, blocks.betas), [](const Operation& operation) {
    const UnitParameters* const units = units_of(operation);
    return units ? either(units->alphas, units->betas) : ParameterBlock{};
  });
}

}  // namespace laminet
