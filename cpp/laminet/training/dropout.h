// Masks of dropout: which features of a batch are left out.
#pragma once

#include <cstddef>
#include <cstdint>

#include "laminet/network/frame.h"
#include "laminet/network/program.h"

namespace laminet {

// One step of training.
struct DropoutStream {
  std::uint64_t seed;
  std::size_t step;  // how many were made before it
};

bool has_dropout(const Program& program);

// Writes the masks of some rows of a batch, from its row `first` on, into what is kept of these. A
// feature's is 0 with the probability `rate`, to 2^-32, or else 1 / (1 - rate); it depends on the
// stream, on which dropout of the program it is of, and on the row and the column alone.
template <class T>
void write_masks(const Program& program, const DropoutStream& stream, std::size_t first,
                 const Frame<T>& kept);

}  // namespace laminet
