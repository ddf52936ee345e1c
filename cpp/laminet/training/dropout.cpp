#include "laminet/training/dropout.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <variant>

#include "laminet/base/types.h"
#include "laminet/training/random.h"

namespace laminet {
namespace {

// Among the streams of a seed: shuffles are numbered from 0 on.
constexpr std::uint64_t kMasks = std::uint64_t{1} << 63;

constexpr double kDraws = 4294967296.0;  // 2^32

// Two features of each number, whose halves are draws.
template <class T>
void write_mask(const RandomStream& random, double rate, std::size_t first, MatrixView<T> mask) {
  const auto dropped = static_cast<std::uint64_t>(std::nearbyint(rate * kDraws));
  // Looked up: a branch would be guessed wrongly as often as features are dropped.
  const std::array<T, 2> factors{static_cast<T>(1 / (1 - rate)), T{0}};
  const auto of = [&](std::uint64_t draw) { return factors[draw < dropped ? 1 : 0]; };
  const std::size_t numbers = (mask.columns + 1) / 2;
  for (std::size_t i = 0; i < mask.rows; ++i) {
    T* const row = mask.row(i);
    const std::uint64_t start = static_cast<std::uint64_t>(first + i) * numbers;
    for (std::size_t j = 0; j < mask.columns / 2; ++j) {
      const std::uint64_t number = random[start + j];
      row[2 * j] = of(number & 0xFFFFFFFF);
      row[2 * j + 1] = of(number >> 32);
    }
    if (mask.columns % 2 == 1) {
      row[mask.columns - 1] = of(random[start + numbers - 1] & 0xFFFFFFFF);
    }
  }
}

}  // namespace

bool has_dropout(const Program& program) {
  return std::any_of(program.steps().begin(), program.steps().end(), [](const Step& step) {
    return std::holds_alternative<DropoutStep>(step.operation);
  });
}

template <class T>
void write_masks(const Program& program, const DropoutStream& stream, std::size_t first,
                 const Frame<T>& kept) {
  const RandomStream of_step = RandomStream(stream.seed).stream(kMasks).stream(stream.step);
  std::size_t number = 0;
  for (std::size_t s = 0; s < program.steps().size(); ++s) {
    const Step& step = program.steps()[s];
    const auto* const dropout = std::get_if<DropoutStep>(&step.operation);
    if (!dropout) continue;
    write_mask<T>(of_step.stream(number), dropout->rate, first,
                  kept({program.first_kept(s), 0, step.output.count}));
    ++number;
  }
}

#define LAMINET_INSTANTIATE(T) \
  template void write_masks(const Program&, const DropoutStream&, std::size_t, const Frame<T>&);
LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
#undef LAMINET_INSTANTIATE

}  // namespace laminet
