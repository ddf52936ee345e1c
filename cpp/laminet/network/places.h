// Where in a program the layers of a network are computed.
#pragma once

#include <cstddef>

#include "laminet/network/program.h"

namespace laminet {

struct NormBlocks;
struct UnitBlocks;

// A dense layer in a program: the outputs from `first` on of that group of a dense step.
struct LayerPlace {
  std::size_t step;
  std::size_t group;
  std::size_t first;
};

// A norm, or a function with parameters by unit, in a program: the columns from `first` on of a
// step; past the last where it has no parameters.
struct ColumnsPlace {
  std::size_t step;
  std::size_t first;
};

// By where their numbers lie: of a dense layer its weight.
LayerPlace place_of(const Program& program, const ParameterBlock& weight);
ColumnsPlace place_of(const Program& program, const NormBlocks& blocks);
ColumnsPlace place_of(const Program& program, const UnitBlocks& blocks);

}  // namespace laminet
