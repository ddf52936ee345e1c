// Where in the tree of layers a step comes from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace laminet {

// The number of a layer in its series; of layers side by side that of a branch, and of a layer in
// that; of a residual block that of a layer within; and so on.
using LayerPath = std::vector<std::uint32_t>;

// In place of a branch's number: all of them, which run as one.
inline constexpr std::uint32_t kEachBranch = 0xffffffff;

struct Origin {
  LayerPath layer;          // or a branch, or the whole tree, where what it gives is copied
  LayerPath function = {};  // the layer whose function is part of the step, where that is another
  std::size_t copies = 1;   // of the layer, in branches that run as one
};

}  // namespace laminet
