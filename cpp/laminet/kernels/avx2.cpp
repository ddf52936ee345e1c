// The AVX2 + FMA kernels (Haswell and Zen, and everything since).
#include <cstddef>
#include <cstdint>

#include "laminet/base/cpu_info.h"
#include "laminet/kernels/body/coefficients.h"
#include "laminet/kernels/body/region.h"
#include "laminet/kernels/instruction_sets.h"
#include "laminet/kernels/table.h"

#if defined(__x86_64__)
#include <immintrin.h>

LAMINET_TARGET_BEGIN("avx2,fma")

namespace laminet::kernels::avx2 {

#include "laminet/kernels/body/vector_extension.inc"

struct F32 : VectorExtension<float, std::uint32_t, 32> {
  static constexpr bool has_fma = true;

  static LAMINET_INLINE __m256i first(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static LAMINET_INLINE V splat(T x) { return _mm256_set1_ps(x); }
  static LAMINET_INLINE V splat(bfloat16 x) { return splat(widened(x)); }
  static LAMINET_INLINE V load(const T* p) { return _mm256_loadu_ps(p); }
  static LAMINET_INLINE V load(const bfloat16* p) {
    const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
  }
  static LAMINET_INLINE V load_partial(const T* p, int n, T fill) {
    const __m256i mask = first(n);
    return _mm256_blendv_ps(splat(fill), _mm256_maskload_ps(p, mask), _mm256_castsi256_ps(mask));
  }
  static LAMINET_INLINE void store(T* p, V v) { _mm256_storeu_ps(p, v); }
  static LAMINET_INLINE void store_partial(T* p, V v, int n) {
    _mm256_maskstore_ps(p, first(n), v);
  }
  static LAMINET_INLINE V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
  static LAMINET_INLINE V sqrt(V a) { return _mm256_sqrt_ps(a); }
  // a > b ? a : b and a < b ? a : b: b where either is NaN.
  static LAMINET_INLINE V max(V a, V b) { return _mm256_max_ps(a, b); }
  static LAMINET_INLINE V min(V a, V b) { return _mm256_min_ps(a, b); }
  static LAMINET_INLINE V floor(V x) { return _mm256_floor_ps(x); }
  static LAMINET_INLINE bool any(M m) {
    return _mm256_movemask_ps(__builtin_bit_cast(__m256, m)) != 0;
  }
};

struct F64 : VectorExtension<double, std::uint64_t, 32> {
  static constexpr bool has_fma = true;

  static LAMINET_INLINE __m256i first(int n) {
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
  }
  static LAMINET_INLINE V splat(T x) { return _mm256_set1_pd(x); }
  static LAMINET_INLINE V load(const T* p) { return _mm256_loadu_pd(p); }
  static LAMINET_INLINE V load_partial(const T* p, int n, T fill) {
    const __m256i mask = first(n);
    return _mm256_blendv_pd(splat(fill), _mm256_maskload_pd(p, mask), _mm256_castsi256_pd(mask));
  }
  static LAMINET_INLINE void store(T* p, V v) { _mm256_storeu_pd(p, v); }
  static LAMINET_INLINE void store_partial(T* p, V v, int n) {
    _mm256_maskstore_pd(p, first(n), v);
  }
  static LAMINET_INLINE V fma(V a, V b, V c) { return _mm256_fmadd_pd(a, b, c); }
  static LAMINET_INLINE V sqrt(V a) { return _mm256_sqrt_pd(a); }
  // a > b ? a : b and a < b ? a : b: b where either is NaN.
  static LAMINET_INLINE V max(V a, V b) { return _mm256_max_pd(a, b); }
  static LAMINET_INLINE V min(V a, V b) { return _mm256_min_pd(a, b); }
  static LAMINET_INLINE V floor(V x) { return _mm256_floor_pd(x); }
  static LAMINET_INLINE bool any(M m) {
    return _mm256_movemask_pd(__builtin_bit_cast(__m256d, m)) != 0;
  }
};

#include "laminet/kernels/body/all.inc"

}  // namespace laminet::kernels::avx2

LAMINET_TARGET_END

namespace laminet::kernels {
namespace {

// 12 accumulators of the 16 registers leave room for two panel vectors and a broadcast.
constexpr Tile<float, bfloat16> kTilesBfloat16[] = {avx2::tile<avx2::F32, 6, 2, bfloat16>(),
                                                    avx2::tile<avx2::F32, 12, 1, bfloat16>()};
constexpr Tile<float> kTilesF32[] = {
    avx2::tile<avx2::F32, 6, 2>(&kTilesBfloat16[0], &kTilesBfloat16[0]),
    avx2::tile<avx2::F32, 12, 1>(&kTilesBfloat16[1], &kTilesBfloat16[1])};
constexpr Tile<double> kTilesF64[] = {avx2::tile<avx2::F64, 6, 2>(),
                                      avx2::tile<avx2::F64, 12, 1>()};
constexpr Table<float> kTableF32 = avx2::table<avx2::F32, 2, 6>(kTilesF32);
constexpr Table<double> kTableF64 = avx2::table<avx2::F64, 2, 6>(kTilesF64);

}  // namespace

const InstructionSet kAvx2 = {"avx2", [] { return cpu_features().avx2 && cpu_features().fma; },
                              &kTableF32, &kTableF64};

}  // namespace laminet::kernels
#endif
