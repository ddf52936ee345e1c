// The AVX-512 kernels (F, DQ, BW, VL: what every server core since Skylake-X and Zen 4 has), and
// the set of those that have AVX512_BF16 too (Cooper Lake, Sapphire Rapids, Zen 4).
#include <cstddef>
#include <cstdint>

#include "laminet/base/cpu_info.h"
#include "laminet/kernels/avx512_pairs.h"
#include "laminet/kernels/body/coefficients.h"
#include "laminet/kernels/body/region.h"
#include "laminet/kernels/instruction_sets.h"
#include "laminet/kernels/table.h"

#if defined(__x86_64__)
#include <immintrin.h>

LAMINET_TARGET_BEGIN("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")

namespace laminet::kernels::avx512 {

#include "laminet/kernels/body/vector_extension.inc"
// After it, of which it is a part.
#include "laminet/kernels/body/avx512_f32.inc"

struct F64 : VectorExtension<double, std::uint64_t, 64> {
  static constexpr bool has_fma = true;

  static LAMINET_INLINE __mmask8 first(int n) { return static_cast<__mmask8>((1u << n) - 1u); }
  static LAMINET_INLINE V splat(T x) { return _mm512_set1_pd(x); }
  static LAMINET_INLINE V load(const T* p) { return _mm512_loadu_pd(p); }
  static LAMINET_INLINE V load_partial(const T* p, int n, T fill) {
    return _mm512_mask_loadu_pd(splat(fill), first(n), p);
  }
  static LAMINET_INLINE void store(T* p, V v) { _mm512_storeu_pd(p, v); }
  static LAMINET_INLINE void store_partial(T* p, V v, int n) {
    _mm512_mask_storeu_pd(p, first(n), v);
  }
  static LAMINET_INLINE V fma(V a, V b, V c) { return _mm512_fmadd_pd(a, b, c); }
  static LAMINET_INLINE V sqrt(V a) { return _mm512_maskz_sqrt_pd(0xFF, a); }
  // a > b ? a : b and a < b ? a : b: b where either is NaN. (Masked by all ones since GCC 12 takes
  // the unmasked intrinsics for a use of an uninitialised value.)
  static LAMINET_INLINE V max(V a, V b) { return _mm512_maskz_max_pd(0xFF, a, b); }
  static LAMINET_INLINE V min(V a, V b) { return _mm512_maskz_min_pd(0xFF, a, b); }
  static LAMINET_INLINE void transpose(V (&r)[8]) {
    constexpr __mmask8 all = 0xFF;
    V t[8];
    LAMINET_UNROLL
    for (int i = 0; i < 8; i += 2) {
      t[i] = _mm512_maskz_unpacklo_pd(all, r[i], r[i + 1]);
      t[i + 1] = _mm512_maskz_unpackhi_pd(all, r[i], r[i + 1]);
    }
    // Now quarter q of t[2 i + c] is column 2 q + c of the rows 2 i and 2 i + 1.
    LAMINET_UNROLL
    for (int c = 0; c < 2; ++c) {
      const V even_low = _mm512_maskz_shuffle_f64x2(all, t[c], t[2 + c], 0x88);
      const V even_high = _mm512_maskz_shuffle_f64x2(all, t[4 + c], t[6 + c], 0x88);
      const V odd_low = _mm512_maskz_shuffle_f64x2(all, t[c], t[2 + c], 0xDD);
      const V odd_high = _mm512_maskz_shuffle_f64x2(all, t[4 + c], t[6 + c], 0xDD);
      r[c] = _mm512_maskz_shuffle_f64x2(all, even_low, even_high, 0x88);
      r[4 + c] = _mm512_maskz_shuffle_f64x2(all, even_low, even_high, 0xDD);
      r[2 + c] = _mm512_maskz_shuffle_f64x2(all, odd_low, odd_high, 0x88);
      r[6 + c] = _mm512_maskz_shuffle_f64x2(all, odd_low, odd_high, 0xDD);
    }
  }
  // As F32's.
  static LAMINET_INLINE std::size_t compress(const T* p, std::uint32_t place, T* values,
                                             std::uint32_t* places) {
    const V x = load(p);
    const __mmask8 taken = _mm512_cmp_pd_mask(x, zero(), _CMP_NEQ_UQ);
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i all = _mm256_add_epi32(lane, _mm256_set1_epi32(static_cast<int>(place)));
    store(values, _mm512_maskz_compress_pd(taken, x));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(places),
                        _mm256_maskz_compress_epi32(taken, all));
    return count(taken);
  }
  // x 2^n, rounded once.
  static LAMINET_INLINE V scale(V x, V n) { return _mm512_maskz_scalef_pd(0xFF, x, n); }
  static LAMINET_INLINE V floor(V x) {
    return _mm512_maskz_roundscale_pd(0xFF, x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  }
  static LAMINET_INLINE bool any(M m) {
    return _mm512_movepi64_mask(__builtin_bit_cast(__m512i, m)) != 0;
  }
  static LAMINET_INLINE V rest_where_zero(V n, V q, V u) {
    return _mm512_mask_fnmadd_pd(q, _mm512_cmp_pd_mask(n, zero(), _CMP_EQ_OQ), u, u);
  }
};

#include "laminet/kernels/body/all.inc"

}  // namespace laminet::kernels::avx512

LAMINET_TARGET_END

namespace laminet::kernels {
namespace {

// 24 accumulators of the 32 registers; the narrower tiles keep layers of 32 and 16 outputs from
// paying for 64 columns, with more rows so that loads of the panel still serve many products.
constexpr Tile<float, bfloat16> kTilesBfloat16[] = {avx512::tile<avx512::F32, 6, 4, bfloat16>(),
                                                    avx512::tile<avx512::F32, 12, 2, bfloat16>(),
                                                    avx512::tile<avx512::F32, 16, 1, bfloat16>()};
template <bool with_pairs>
constexpr Tile<float> kTilesF32[] = {
    avx512::tile<avx512::F32, 6, 4>(&kTilesBfloat16[0], &kTilesBfloat16[0],
                                    with_pairs ? &kAvx512PairTiles[0] : nullptr),
    avx512::tile<avx512::F32, 12, 2>(&kTilesBfloat16[1], &kTilesBfloat16[1],
                                     with_pairs ? &kAvx512PairTiles[1] : nullptr),
    avx512::tile<avx512::F32, 16, 1>(&kTilesBfloat16[2], &kTilesBfloat16[2],
                                     with_pairs ? &kAvx512PairTiles[2] : nullptr)};
constexpr Tile<double> kTilesF64[] = {avx512::tile<avx512::F64, 6, 4>(),
                                      avx512::tile<avx512::F64, 12, 2>(),
                                      avx512::tile<avx512::F64, 16, 1>()};
constexpr Table<float> kTableF32 = avx512::table<avx512::F32, 4, 12>(kTilesF32<false>);
constexpr Table<float> kTableWithPairs = [] {
  Table<float> table = avx512::table<avx512::F32, 4, 12>(kTilesF32<true>);
  table.to_pairs = avx512_to_pairs;
  table.to_row_pairs = avx512_to_row_pairs;
  table.pair_gradient_tile = &kAvx512PairGradientTile;
  table.probe.pairs = avx512_pair_rounds;
  return table;
}();
constexpr Table<double> kTableF64 = avx512::table<avx512::F64, 4, 12>(kTilesF64);

bool has_avx512() {
  const CpuFeatures& cpu = cpu_features();
  return cpu.avx512f && cpu.avx512dq && cpu.avx512bw && cpu.avx512vl && cpu.avx2 && cpu.fma;
}

}  // namespace

const InstructionSet kAvx512 = {"avx512", has_avx512, &kTableF32, &kTableF64};

const InstructionSet kAvx512Bf16 = {
    "avx512_bf16",
    [] { return has_avx512() && cpu_features().avx512_bf16 && avx512_pairs_are_as_documented(); },
    &kTableWithPairs, &kTableF64};

}  // namespace laminet::kernels
#endif
