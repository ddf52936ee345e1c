// Random numbers by their place in a stream: nothing is carried along, and nothing to be saved.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace laminet {

// SplitMix64 (G. L. Steele, D. Lea, C. H. Flood, "Fast Splittable Pseudorandom Number Generators",
// OOPSLA 2014), which is a hash of a counter.
class RandomStream {
 public:
  // Streams of different keys have nothing in common.
  explicit RandomStream(std::uint64_t key) : start_(mix(key + kStep)) {}
  RandomStream stream(std::uint64_t number) const {
    return RandomStream(start_ ^ mix(number + kStep));
  }

  std::uint64_t operator[](std::uint64_t i) const { return mix(start_ + (i + 1) * kStep); }
  // Less than `bound`. A number is at most bound / 2^64 likelier than another.
  std::uint64_t below(std::uint64_t bound, std::uint64_t i) const {
    __extension__ using Wide = unsigned __int128;
    return static_cast<std::uint64_t>(static_cast<Wide>((*this)[i]) * bound >> 64);
  }

 private:
  static constexpr std::uint64_t kStep = 0x9E3779B97F4A7C15;  // 2^64 over the golden ratio

  static constexpr std::uint64_t mix(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }

  std::uint64_t start_;
};

// Fisher and Yates.
template <class Index>
void shuffle(std::span<Index> values, const RandomStream& random) {
  for (std::size_t i = values.size(); i > 1; --i) {
    std::swap(values[i - 1], values[random.below(i, i)]);
  }
}

}  // namespace laminet
