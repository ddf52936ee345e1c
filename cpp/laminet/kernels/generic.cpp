// The kernels for any CPU: the compiler's 16-byte vectors at the baseline instruction set.
#include <cstddef>
#include <cstdint>

#include "laminet/kernels/body/coefficients.h"
#include "laminet/kernels/body/region.h"
#include "laminet/kernels/instruction_sets.h"
#include "laminet/kernels/table.h"

namespace laminet::kernels::generic {

#include "laminet/kernels/body/vector_extension.inc"

template <class Element, class UnsignedInteger>
struct Vector16 : VectorExtension<Element, UnsignedInteger, 16> {
  using Base = VectorExtension<Element, UnsignedInteger, 16>;
  using Base::lanes;
  using typename Base::T;
  using typename Base::V;
#if defined(__FP_FAST_FMA) && defined(__FP_FAST_FMAF)
  static constexpr bool has_fma = true;
#else
  static constexpr bool has_fma = false;
#endif

  static LAMINET_INLINE V splat(T x) { return x - V{}; }
  static LAMINET_INLINE V load(const T* p) {
    V v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
  }
  static LAMINET_INLINE V splat(bfloat16 x) { return splat(static_cast<T>(widened(x))); }
  static LAMINET_INLINE V load(const bfloat16* p) {
    V v = Base::zero();
    for (int i = 0; i < lanes; ++i) v[i] = static_cast<T>(widened(p[i]));
    return v;
  }
  static LAMINET_INLINE V load_partial(const T* p, int n, T fill) {
    V v = splat(fill);
    for (int i = 0; i < n; ++i) v[i] = p[i];
    return v;
  }
  static LAMINET_INLINE void store(T* p, V v) { __builtin_memcpy(p, &v, sizeof v); }
  static LAMINET_INLINE void store_partial(T* p, V v, int n) {
    for (int i = 0; i < n; ++i) p[i] = v[i];
  }
  static LAMINET_INLINE V max(V a, V b) { return a > b ? a : b; }
  static LAMINET_INLINE V min(V a, V b) { return a < b ? a : b; }
  static LAMINET_INLINE V sqrt(V a) {
    V r = a;
    for (int i = 0; i < lanes; ++i) {
      r[i] = sizeof(T) == sizeof(float) ? static_cast<T>(__builtin_sqrtf(static_cast<float>(a[i])))
                                        : static_cast<T>(__builtin_sqrt(a[i]));
    }
    return r;
  }
  // Fused where the hardware has it (64-bit Arm): a call into libm per lane would cost 20 times
  // the product.
  static LAMINET_INLINE V fma(V a, V b, V c) {
#if defined(__FP_FAST_FMA) && defined(__FP_FAST_FMAF)
    V r = c;
    for (int i = 0; i < lanes; ++i) {
      r[i] = sizeof(T) == sizeof(float) ? static_cast<T>(__builtin_fmaf(a[i], b[i], c[i]))
                                        : static_cast<T>(__builtin_fma(a[i], b[i], c[i]));
    }
    return r;
#else
    return a * b + c;
#endif
  }
};

using F32 = Vector16<float, std::uint32_t>;
using F64 = Vector16<double, std::uint64_t>;

// Of numbers of bfloat16, to the same bits with and without fused multiply-add. Needs no
// FlushingFloatMode.
struct Rounded : F32 {
  static LAMINET_INLINE V fma(V a, V b, V c) {
    V r = c;
    for (int i = 0; i < lanes; ++i) r[i] = add_product(c[i], a[i], b[i]);
    return r;
  }
};

#include "laminet/kernels/body/all.inc"

}  // namespace laminet::kernels::generic

namespace laminet::kernels {
namespace {

// 12 accumulators: SSE2 has 16 registers, 64-bit Arm 32.
constexpr Tile<float, bfloat16> kTilesBfloat16[] = {generic::tile<generic::F32, 6, 2, bfloat16>(),
                                                    generic::tile<generic::F32, 12, 1, bfloat16>()};
constexpr Tile<float, bfloat16> kTilesRounded[] = {
    generic::tile<generic::Rounded, 6, 2, bfloat16>(),
    generic::tile<generic::Rounded, 12, 1, bfloat16>()};
constexpr Tile<float> kTilesF32[] = {
    generic::tile<generic::F32, 6, 2>(&kTilesBfloat16[0], &kTilesRounded[0]),
    generic::tile<generic::F32, 12, 1>(&kTilesBfloat16[1], &kTilesRounded[1])};
constexpr Tile<double> kTilesF64[] = {generic::tile<generic::F64, 6, 2>(),
                                      generic::tile<generic::F64, 12, 1>()};
constexpr Table<float> kTableF32 = generic::table<generic::F32, 2, 6, generic::Rounded>(kTilesF32);
constexpr Table<double> kTableF64 = generic::table<generic::F64, 2, 6>(kTilesF64);

}  // namespace

const InstructionSet kGeneric = {"generic", [] { return true; }, &kTableF32, &kTableF64};

}  // namespace laminet::kernels
