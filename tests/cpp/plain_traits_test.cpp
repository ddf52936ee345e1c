// The bodies of the kernels over vectors that are plain structs, with no operators at all: other
// traits than those over the compiler's vectors can stand under them, and give the same bits; so
// can weights of another type.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <type_traits>
#include <vector>

#include "bit_patterns.h"
#include "laminet/gemm/gemm.h"
#include "laminet/kernels/body/coefficients.h"
#include "laminet/kernels/body/region.h"
#include "laminet/kernels/table.h"
#include "support.h"

namespace laminet::kernels::plain {

template <class Element, class UnsignedInteger>
struct Plain {
  using T = Element;
  using Input = Element;
  static constexpr int lanes = 4;
  static constexpr bool has_fma = true;
  struct V {
    T lane[lanes];
  };
  struct U {
    UnsignedInteger lane[lanes];
  };
  struct M {
    bool lane[lanes];
  };

  template <class R, class F, class... Args>
  static R each(F f, Args... args) {
    R r{};
    for (int i = 0; i < lanes; ++i) r.lane[i] = f(args.lane[i]...);
    return r;
  }

  static V zero() { return {}; }
  static V splat(T x) { return {{x, x, x, x}}; }
  static V load(const T* p) { return load_partial(p, lanes, T{0}); }
  static V load_partial(const T* p, int n, T fill) {
    V v = splat(fill);
    for (int i = 0; i < n; ++i) v.lane[i] = p[i];
    return v;
  }
  static V load_strided(const T* p, std::ptrdiff_t stride) {
    return {{p[0], p[stride], p[2 * stride], p[3 * stride]}};
  }
  static void store(T* p, V v) { store_partial(p, v, lanes); }
  static void store_partial(T* p, V v, int n) {
    for (int i = 0; i < n; ++i) p[i] = v.lane[i];
  }

  static T sum(V v) { return (v.lane[0] + v.lane[2]) + (v.lane[1] + v.lane[3]); }
  static T largest(V v) { return *std::max_element(v.lane, v.lane + lanes); }
  static V lane_numbers() { return {{0, 1, 2, 3}}; }
  static V add(V a, V b) {
    return each<V>([](T x, T y) { return x + y; }, a, b);
  }
  static V sub(V a, V b) {
    return each<V>([](T x, T y) { return x - y; }, a, b);
  }
  static V mul(V a, V b) {
    return each<V>([](T x, T y) { return x * y; }, a, b);
  }
  static V div(V a, V b) {
    return each<V>([](T x, T y) { return x / y; }, a, b);
  }
  static V negate(V a) {
    return each<V>([](T x) { return -x; }, a);
  }
  static V fma(V a, V b, V c) {
    return each<V>([](T x, T y, T z) { return std::fma(x, y, z); }, a, b, c);
  }
  static V sqrt(V a) {
    return each<V>([](T x) { return std::sqrt(x); }, a);
  }
  static V max(V a, V b) {
    return each<V>([](T x, T y) { return x > y ? x : y; }, a, b);
  }
  static V min(V a, V b) {
    return each<V>([](T x, T y) { return x < y ? x : y; }, a, b);
  }

  static M less(V a, V b) {
    return each<M>([](T x, T y) { return x < y; }, a, b);
  }
  static M less_equal(V a, V b) {
    return each<M>([](T x, T y) { return x <= y; }, a, b);
  }
  static M equal(V a, V b) {
    return each<M>([](T x, T y) { return x == y; }, a, b);
  }
  static bool any(M m) { return m.lane[0] || m.lane[1] || m.lane[2] || m.lane[3]; }
  static V select(M m, V yes, V no) {
    return each<V>([](bool which, T x, T y) { return which ? x : y; }, m, yes, no);
  }

  using Word = UnsignedInteger;
  static U bits(V a) {
    return each<U>([](T x) { return std::bit_cast<Word>(x); }, a);
  }
  static V from_bits(U a) {
    return each<V>([](Word x) { return std::bit_cast<T>(x); }, a);
  }
  static U bit_and(U a, U b) {
    return each<U>([](Word x, Word y) { return x & y; }, a, b);
  }
  static U bit_or(U a, U b) {
    return each<U>([](Word x, Word y) { return x | y; }, a, b);
  }
  static U bit_xor(U a, U b) {
    return each<U>([](Word x, Word y) { return x ^ y; }, a, b);
  }
  static U bit_not(U a) {
    return each<U>([](Word x) { return ~x; }, a);
  }
  static U sub_bits(U a, U b) {
    return each<U>([](Word x, Word y) { return x - y; }, a, b);
  }
  template <int count>
  static U shift_left(U a) {
    return each<U>([](Word x) { return x << count; }, a);
  }
  template <int count>
  static U shift_right(U a) {
    return each<U>([](Word x) { return x >> count; }, a);
  }
};

using F32 = Plain<float, std::uint32_t>;
using F64 = Plain<double, std::uint64_t>;

#include "laminet/kernels/body/all.inc"

constexpr Tile<float> kTilesF32[] = {tile<F32, 3, 2>(), tile<F32, 2, 1>()};
constexpr Tile<double> kTilesF64[] = {tile<F64, 3, 2>(), tile<F64, 2, 1>()};
constexpr Table<float> kTableF32 = table<F32, 2, 3>(kTilesF32);
constexpr Table<double> kTableF64 = table<F64, 2, 3>(kTilesF64);

// Products of pairs, as an instruction for them makes them.
struct Pairs : F32 {
  using Input = bfloat16_pair;
  using F32::load;
  using F32::splat;
  struct P {
    bfloat16_pair lane[lanes];
  };
  static P splat(bfloat16_pair x) { return {{x, x, x, x}}; }
  static P load(const bfloat16_pair* p) { return {{p[0], p[1], p[2], p[3]}}; }
  static V fma(P a, P b, V c) {
    const auto upper = [](bfloat16_pair x) { return std::bit_cast<float>(x.bits & 0xFFFF'0000u); };
    const auto lower = [](bfloat16_pair x) { return std::bit_cast<float>(x.bits << 16); };
    for (int i = 0; i < lanes; ++i) {
      const float first = add_product(c.lane[i], upper(a.lane[i]), upper(b.lane[i]));
      c.lane[i] = add_product(first, lower(a.lane[i]), lower(b.lane[i]));
    }
    return c;
  }
};

void to_pairs(const RoundArgs<float, bfloat16_pair>& args) {
  for (std::size_t i = 0; i < args.rows; ++i) {
    const float* const x = args.x + static_cast<std::ptrdiff_t>(i) * args.x_stride;
    bfloat16_pair* const y = args.y + static_cast<std::ptrdiff_t>(i) * args.y_stride;
    for (std::size_t j = 0; j < args.columns; j += 2) {
      y[j / 2] = pair_of(to_factor(x[j]), j + 1 < args.columns ? to_factor(x[j + 1]) : bfloat16{0});
    }
  }
}

constexpr Tile<float, bfloat16_pair, bfloat16_pair> kPairTiles[] = {
    tile<Pairs, 3, 2, bfloat16_pair>(), tile<Pairs, 2, 1, bfloat16_pair>()};
constexpr Tile<float> kTilesWithPairs[] = {tile<F32, 3, 2>(nullptr, nullptr, &kPairTiles[0]),
                                           tile<F32, 2, 1>(nullptr, nullptr, &kPairTiles[1])};
constexpr Table<float> kTableWithPairs = [] {
  Table<float> result = table<F32, 2, 3>(kTilesWithPairs);
  result.to_pairs = to_pairs;
  return result;
}();

}  // namespace laminet::kernels::plain

namespace laminet::kernels {
namespace {

template <class T>
const Table<T>& plain_table() {
  if constexpr (sizeof(T) == sizeof(float)) {
    return plain::kTableF32;
  } else {
    return plain::kTableF64;
  }
}

// A set that fuses, as the plain one does, or null.
const InstructionSet* fused_set() {
  for (const InstructionSet* set : testing::instruction_sets()) {
    if (set != &kGeneric) return set;
  }
  return nullptr;
}

// Layers whose weights are packed as pairs: each kind of tile, odd and even depths, also beyond a
// block of depth, and packing by parts of these.
TEST(Bfloat16Pairs, GiveTheBitsOfOneProductAfterTheOther) {
  std::mt19937 random(8);
  std::normal_distribution<float> normal(0, 1);
  struct Shape {
    std::size_t rows, k, n;
  };
  for (const auto [rows, k, n] :
       {Shape{1, 1, 1}, {1, 37, 71}, {2, 8, 9}, {7, 33, 21}, {4, 4001, 5}, {1, 8193, 9}}) {
    std::vector<float> x(rows * k), w(n * k), bias(n), start(rows * n);
    for (std::vector<float>* numbers : {&x, &w, &bias, &start}) {
      for (float& v : *numbers) v = normal(random);
    }
    for (float& v : w) v = widened(to_factor(v));
    x[0] = -0.0f;
    w[0] = 1.0f;
    start[0] = -0.0f;
    for (const bool with_bias : {false, true}) {
      const float* const b = with_bias ? bias.data() : nullptr;
      AlignedArray<bfloat16_pair> storage(
          packed_size(n, k, plain::kTableWithPairs, Stored::bfloat16_pairs));
      const PackedWeights<float> packed(dense_view<const float>(w.data(), n, k),
                                        plain::kTableWithPairs, storage.data(), b);
      ASSERT_EQ(packed.depth(), (k + 1) / 2);
      ASSERT_TRUE(packed.finite());
      std::vector<float> y = start;
      const Activation activation{with_bias ? ActivationKind::relu : ActivationKind::identity};
      tiled_layer<float>(
          dense_view<const float>(x.data(), rows, k), packed,
          {.panels = {0, packed.layout().panels()}, .accumulate = true, .rounds = true}, b,
          activation, dense_view(y.data(), rows, n));
      for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t j = 0; j < n; ++j) {
          float sum = start[i * n + j];
          for (std::size_t p = 0; p < k; ++p) {
            sum = add_product(sum, widened(to_factor(x[i * k + p])), w[j * k + p]);
          }
          if (with_bias) sum = sum + bias[j] <= 0 ? 0.0f : sum + bias[j];
          ASSERT_EQ(std::bit_cast<std::uint32_t>(y[i * n + j]), std::bit_cast<std::uint32_t>(sum))
              << rows << "x" << k << "x" << n << " at " << i << ", " << j;
        }
      }
    }
  }
}

template <class T>
class PlainTraits : public ::testing::Test {};
using AllTypes = ::testing::Types<float, double>;
TYPED_TEST_SUITE(PlainTraits, AllTypes);

// Runs `use(table, results)` on both tables and compares the results.
template <class T, class Use>
void expect_same(const char* what, Use use) {
  std::vector<T> results[2];
  use(plain_table<T>(), results[0]);
  use(fused_set()->table<T>(), results[1]);
  ASSERT_EQ(results[0].size(), results[1].size());
  ASSERT_GT(results[0].size(), 0u);
  std::size_t different = 0;
  for (std::size_t i = 0; i < results[0].size(); ++i) {
    different += !same(results[0][i], results[1][i]);
  }
  EXPECT_EQ(different, 0u) << what;
}

TYPED_TEST(PlainTraits, FunctionsHaveTheSameBits) {
  using T = TypeParam;
  if (!fused_set()) GTEST_SKIP() << "no instruction set here fuses by promise";
  std::vector<T> y(4096), d(4096);
  for (std::size_t f = 0; f < kActivationCount; ++f) {
    const Activation& defaults = kActivations[f].defaults;
    expect_same<T>(kActivations[f].name.data(), [&](const Table<T>& table, std::vector<T>& all) {
      for_patterns<T>(sizeof(T) == sizeof(float) ? 1000003 : 10007, [&](const T* x, std::size_t n) {
        const auto stride = static_cast<std::ptrdiff_t>(n);
        table.derivatives[f]({1, n, x, stride, y.data(), stride, d.data(), stride, nullptr,
                              defaults.alpha, defaults.beta});
        all.insert(all.end(), y.begin(), y.begin() + stride);
        all.insert(all.end(), d.begin(), d.begin() + stride);
      });
    });
  }
}

TYPED_TEST(PlainTraits, RowsAndProductsHaveTheSameBits) {
  using T = TypeParam;
  if (!fused_set()) GTEST_SKIP() << "no instruction set here fuses by promise";
  std::mt19937 random(5);
  std::normal_distribution<double> normal(0, 1);
  constexpr std::size_t rows = 5, most = 70;
  std::vector<T> x(rows * most), w(most);
  for (T& v : x) v = static_cast<T>(normal(random));
  for (T& v : w) v = static_cast<T>(normal(random));
  for (std::size_t n = 1; n <= most; ++n) {
    const auto stride = static_cast<std::ptrdiff_t>(n);
    expect_same<T>("rows", [&](const Table<T>& table, std::vector<T>& all) {
      std::vector<T> y(rows * n), kept(rows * n), rstd(rows), sums(n);
      const auto keep = [&](const std::vector<T>& part) {
        all.insert(all.end(), part.begin(), part.end());
      };
      table.norm({true, rows, n, x.data(), stride, y.data(), stride, w.data(), w.data(), 1e-5,
                  kept.data(), stride, rstd.data()});
      keep(y);
      keep(kept);
      keep(rstd);
      table.norm_pull_back({true, rows, n, x.data(), stride, y.data(), stride, w.data(),
                            kept.data(), stride, rstd.data(), 0, 1});
      keep(y);
      table.column_sums({rows, n, x.data(), stride, sums.data(), false});
      keep(sums);
      for (std::size_t i = 0; i < rows; ++i) table.softmax(kept.data() + i * n, n);
      keep(kept);
      table.head_product(
          {HeadProduct::softmax, rows, n, y.data(), stride, kept.data(), stride, 0, 1});
      keep(y);
    });
    expect_same<T>("products", [&](const Table<T>& table, std::vector<T>& all) {
      // x times the first column of weights alone: one row of a panel of zeros beside it.
      for (std::size_t t = 0; t < table.tile_count; ++t) {
        if (t > 1) break;  // sets differ in how many they have
        const Tile<T>& tile = table.tiles[t];
        AlignedArray<T> panel(n * tile.nr);
        for (std::size_t k = 0; k < n; ++k) panel.data()[k * tile.nr] = w[k];
        for (std::size_t m = 1; m <= 2; ++m) {
          std::vector<T> c(m);
          TileArgs<T> args{};
          args.k = n;
          args.a = x.data();
          args.a_stride = stride;
          args.panel = panel.data();
          args.c = c.data();
          args.c_stride = 1;
          args.n = 1;
          args.bias = w.data();
          args.relu = t == 1;
          tile.multiply(args, m);
          all.insert(all.end(), c.begin(), c.end());
        }
      }
      T c = 0;
      table.gradient_tile.multiply({rows, x.data(), stride, x.data(), stride, &c, 1, 1, false}, 1);
      all.push_back(c);
    });
  }
}

}  // namespace
}  // namespace laminet::kernels
