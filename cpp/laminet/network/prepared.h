// What is packed of a network's parameters for the tiled back end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "laminet/base/huge_pages.h"
#include "laminet/gemm/pack.h"
#include "laminet/kernels/table.h"
#include "laminet/network/parameters.h"
#include "laminet/network/program.h"

namespace laminet {

// The weights of W for the way forward, as they are, stored as bfloat16, or for products of such
// numbers, or of W^T for the way back, as they are or for such products.
enum class Packing { forward, forward_bfloat16, forward_rounded, transposed, transposed_rounded };

// Pairs where the table has tiles for these.
template <class T>
Stored stored_as(Packing packing, const kernels::Table<T>& table);

// All panels of a network, in one piece of memory. Any number of threads may read it while nobody
// refreshes it.
template <class T>
class Prepared {
 public:
  Prepared(const Program& program, const Parameters<T>& parameters, const kernels::Table<T>& table,
           Packing packing);

  // Packs anew what has changed, in place; nothing where it is of this version.
  void refresh(const Parameters<T>& parameters);
  std::uint64_t version() const { return version_; }

  // By group of that step; empty where it has no product.
  std::span<const PackedWeights<T>> operator[](std::size_t step) const {
    return std::span<const PackedWeights<T>>(weights_).subspan(first_[step],
                                                               first_[step + 1] - first_[step]);
  }
  // To change them in place, and all of the memory.
  PackedWeights<T>& change(std::size_t step, std::size_t group) {
    return weights_[first_[step] + group];
  }
  T* data() { return memory_.data(); }
  const T* data() const { return memory_.data(); }
  std::size_t size() const { return memory_.size(); }
  // Whether all weights are finite.
  bool finite() const;
  std::size_t bytes() const { return memory_.bytes(); }

  // What the memory takes, without it.
  static std::size_t bytes_of(const Program& program, const kernels::Table<T>& table,
                              Packing packing);

 private:
  struct Part {  // of a step's weight: a group
    ParameterBlock weight;
    ParameterBlock bias;
  };

  Packing packing_;
  std::vector<Part> parts_;
  std::vector<std::size_t> first_;  // part of each step
  HugePageArray<T> memory_;
  std::vector<PackedWeights<T>> weights_;
  std::uint64_t version_;
};

}  // namespace laminet
