// What AVX512_BF16 adds to the AVX-512 kernels.
#pragma once

#include <cstddef>

#include "laminet/base/bfloat16.h"
#include "laminet/kernels/elementwise.h"
#include "laminet/kernels/products.h"
#include "laminet/kernels/tile.h"

#if defined(__x86_64__)
namespace laminet::kernels {

// By the width of the tiles of float, whose sizes they have.
extern const Tile<float, bfloat16_pair, bfloat16_pair> kAvx512PairTiles[3];
extern const GradientTile<float, bfloat16_pair> kAvx512PairGradientTile;
// Table::to_pairs and to_row_pairs, and ProbeLoops::pairs.
void avx512_to_pairs(const RoundArgs<float, bfloat16_pair>& args);
void avx512_to_row_pairs(const RoundArgs<float, bfloat16_pair>& args);
float avx512_pair_rounds(std::size_t rounds);

// Whether the instructions give the bits that tile.h promises, of numbers that tell: a CPU of which
// they do not computes without them. Only where the CPU has AVX512_BF16.
bool avx512_pairs_are_as_documented();

}  // namespace laminet::kernels
#endif
