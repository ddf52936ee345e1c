// Products of pairs of bfloat16 by AVX512_BF16 (Cooper Lake, Sapphire Rapids, Zen 4, and since).
#include <bit>
#include <cstddef>
#include <cstdint>

#include "laminet/kernels/avx512_pairs.h"
#include "laminet/kernels/body/coefficients.h"
#include "laminet/kernels/body/region.h"
#include "laminet/kernels/table.h"

#if defined(__x86_64__)
#include <immintrin.h>

LAMINET_TARGET_BEGIN("avx512f,avx512dq,avx512bw,avx512vl,avx512bf16,avx2,fma")

namespace laminet::kernels::avx512_bf16 {

// clang-format off: each of these needs those before it
#include "laminet/kernels/body/vector_extension.inc"
#include "laminet/kernels/body/avx512_f32.inc"
#include "laminet/kernels/body/simd.inc"
#include "laminet/kernels/body/gemm_tile.inc"
#include "laminet/kernels/body/gradient_tile.inc"
// clang-format on

struct Pairs : F32 {
  using Input = bfloat16_pair;
  using F32::load;
  using F32::load_partial;
  using F32::splat;
  static LAMINET_INLINE __m512i splat(bfloat16_pair x) {
    return _mm512_set1_epi32(static_cast<int>(x.bits));
  }
  static LAMINET_INLINE __m512i load(const bfloat16_pair* p) { return _mm512_loadu_si512(p); }
  static LAMINET_INLINE __m512i load_partial(const bfloat16_pair* p, int n, bfloat16_pair fill) {
    return _mm512_mask_loadu_epi32(splat(fill), first(n), p);
  }
  static LAMINET_INLINE V fma(__m512i a, __m512i b, V c) {
    return _mm512_dpbf16_ps(c, __builtin_bit_cast(__m512bh, a), __builtin_bit_cast(__m512bh, b));
  }
  // There are no tiles with samples in the lanes.
  static void transpose() = delete;
};

// 32 numbers, of which the pairs have the first in the upper half.
LAMINET_INLINE __m512i pairs_of(__m512 low, __m512 high) {
  const auto halves = __builtin_bit_cast(__m512i, _mm512_cvtne2ps_pbh(high, low));
  return _mm512_maskz_rol_epi32(0xFFFF, halves, 16);
}

void to_pairs(const RoundArgs<float, bfloat16_pair>& args) {
  constexpr std::size_t step = 2 * F32::lanes;
  const std::size_t whole = args.columns / step * step;
  const int left = static_cast<int>(args.columns - whole);
  const __mmask16 low = left >= F32::lanes ? 0xFFFF : F32::first(left);
  const __mmask16 high = left > F32::lanes ? F32::first(left - F32::lanes) : 0;
  const __mmask16 pairs = F32::first((left + 1) / 2);
  for (std::size_t i = 0; i < args.rows; ++i) {
    const float* x = args.x + static_cast<std::ptrdiff_t>(i) * args.x_stride;
    bfloat16_pair* y = args.y + static_cast<std::ptrdiff_t>(i) * args.y_stride;
    for (const float* const end = x + whole; x < end; x += step, y += F32::lanes) {
      _mm512_storeu_si512(y, pairs_of(F32::load(x), F32::load(x + F32::lanes)));
    }
    if (left == 0) continue;
    _mm512_mask_storeu_epi32(
        y, pairs,
        pairs_of(_mm512_maskz_loadu_ps(low, x), _mm512_maskz_loadu_ps(high, x + F32::lanes)));
  }
}

// The places of 16 numbers of which a pair has the upper half, and of 16 for the lower ones.
alignas(64) constexpr std::uint16_t kRowsOfPairs[32] = {16, 0,  17, 1,  18, 2,  19, 3,  20, 4,  21,
                                                        5,  22, 6,  23, 7,  24, 8,  25, 9,  26, 10,
                                                        27, 11, 28, 12, 29, 13, 30, 14, 31, 15};

void to_row_pairs(const RoundArgs<float, bfloat16_pair>& args) {
  const __m512i places = _mm512_load_si512(kRowsOfPairs);
  const auto run = [&](const float* first, const float* second, bfloat16_pair* y) {
    for (std::size_t j = 0; j < args.columns; j += F32::lanes) {
      const int left = static_cast<int>(args.columns - j);
      const __mmask16 mask = left >= F32::lanes ? 0xFFFF : F32::first(left);
      const __m512 upper = _mm512_maskz_loadu_ps(mask, first + j);
      const __m512 lower = second ? _mm512_maskz_loadu_ps(mask, second + j) : F32::zero();
      const auto halves = __builtin_bit_cast(__m512i, _mm512_cvtne2ps_pbh(lower, upper));
      _mm512_mask_storeu_epi32(y + j, mask, _mm512_maskz_permutexvar_epi16(~0u, places, halves));
    }
  };
  bfloat16_pair* y = args.y;
  for (std::size_t i = 0; i < args.rows; i += 2, y += args.y_stride) {
    const float* const x = args.x + static_cast<std::ptrdiff_t>(i) * args.x_stride;
    run(x, i + 1 < args.rows ? x + args.x_stride : nullptr, y);
  }
}

// sum + 1 - 1 in each chain.
float pair_rounds(std::size_t rounds) {
  constexpr int chains = 24;
  const __m512i ones = Pairs::splat(bfloat16_pair{0x3F80'3F80u});
  const __m512i signs = Pairs::splat(bfloat16_pair{0x3F80'BF80u});
  __m512 sum[chains];
  LAMINET_UNROLL
  for (int i = 0; i < chains; ++i) sum[i] = F32::splat(static_cast<float>(i + 1));
  for (; rounds > 0; --rounds) {
    LAMINET_UNROLL
    for (int i = 0; i < chains; ++i) sum[i] = Pairs::fma(ones, signs, sum[i]);
  }
  LAMINET_UNROLL
  for (int i = 1; i < chains; ++i) sum[0] = F32::add(sum[0], sum[i]);
  return F32::sum(sum[0]);
}

}  // namespace laminet::kernels::avx512_bf16

LAMINET_TARGET_END

namespace laminet::kernels {

using avx512_bf16::Pairs;

const Tile<float, bfloat16_pair, bfloat16_pair> kAvx512PairTiles[3] = {
    avx512_bf16::tile<Pairs, 6, 4, bfloat16_pair>(),
    avx512_bf16::tile<Pairs, 12, 2, bfloat16_pair>(),
    avx512_bf16::tile<Pairs, 16, 1, bfloat16_pair>()};

// 24 accumulators, as that of float.
const GradientTile<float, bfloat16_pair> kAvx512PairGradientTile =
    avx512_bf16::gradient_tile<Pairs, 6, 4>();

void avx512_to_pairs(const RoundArgs<float, bfloat16_pair>& args) { avx512_bf16::to_pairs(args); }
void avx512_to_row_pairs(const RoundArgs<float, bfloat16_pair>& args) {
  avx512_bf16::to_row_pairs(args);
}

float avx512_pair_rounds(std::size_t rounds) { return avx512_bf16::pair_rounds(rounds); }

bool avx512_pairs_are_as_documented() {
  struct Sum {
    float start, a, b, c, d;  // start + a b + c d
  };
  const Sum sums[] = {
      {1.0f, 0x1p-12f, 0x1p-12f, 0x1p-24f, 0x1p-1f},           // rounded between the two
      {0x1p24f, 1.0f, 1.0f, -0x1p12f, 0x1p12f},                // the upper halves first
      {0x1p127f, 0x1p127f, 1.0f, -0x1p127f, 1.0f},             // an overflow between them
      {0x1p-126f, -0x1p-63f, 0x1.8p-64f, 0x1p-63f, 0x1p-63f},  // a subnormal sum between them
      {0.0f, 0x1.8p-63f, -0x1p-64f, 0.0f, -0.0f},              // and at the end
      {0x1p-127f, 0x1p-126f, 1.0f, 0x1p-127f, 1.0f},           // subnormal numbers to begin with
      {0x1p-126f, -0x1p-76f, 0x1p-76f, 0.0f, 0.0f},            // normal once it is rounded
      {0x1p-126f, -0x1p-75f, 0x1.8p-76f, 0.0f, 0.0f},          // only if rounded as subnormal
  };
  for (const Sum& sum : sums) {
    const bfloat16_pair x = pair_of(to_bfloat16(sum.a), to_bfloat16(sum.c));
    bfloat16_pair panel[16] = {pair_of(to_bfloat16(sum.b), to_bfloat16(sum.d))};
    float z = sum.start;
    const float expected = add_product(add_product(z, sum.a, sum.b), sum.c, sum.d);
    kAvx512PairTiles[2].multiply({.k = 1,
                                  .a = &x,
                                  .a_stride = 1,
                                  .panel = panel,
                                  .c = &z,
                                  .c_stride = 1,
                                  .n = 1,
                                  .bias = nullptr,
                                  .accumulate = true,
                                  .relu = false,
                                  .prefetch = false,
                                  .ahead = 0,
                                  .steps = nullptr},
                                 1);
    if (std::bit_cast<std::uint32_t>(z) != std::bit_cast<std::uint32_t>(expected)) return false;
    bfloat16_pair rounded{};
    const float factors[] = {sum.b + 0x1p-9f * sum.b, sum.start};
    avx512_to_pairs(
        {.rows = 1, .columns = 2, .x = factors, .x_stride = 2, .y = &rounded, .y_stride = 1});
    if (rounded.bits != pair_of(to_factor(factors[0]), to_factor(factors[1])).bits) return false;
  }
  return true;
}

}  // namespace laminet::kernels
#endif
