// The pure functions of sizes: blocking, packing layout, and products of sizes past 2^31.
#include "laminet/gemm/blocking.h"

#include <new>

#include "laminet/gemm/pack.h"
#include "support.h"

namespace laminet::testing {
namespace {

constexpr CacheSizes kSmall{16 * 1024, 128 * 1024, 1024 * 1024};
constexpr CacheSizes kLarge{48 * 1024, 2 * 1024 * 1024, 64 * 1024 * 1024};

TEST(Blocking, CoversAnyShapeWithinTheCaches) {
  for (const CacheSizes& caches : {kSmall, kLarge}) {
    for (const std::size_t n : {1u, 15u, 64u, 1000u, 70000u}) {
      for (const std::size_t k : {1u, 63u, 512u, 769u, 4096u, 70000u}) {
        const Blocking b = choose_blocking(n, k, 6, 64, 4, caches);
        EXPECT_GE(b.depth, 1u);
        EXPECT_LE(b.depth, k);
        EXPECT_GE(b.columns, 64u);
        EXPECT_EQ(b.columns % 64, 0u);
        EXPECT_LT(b.columns, n + 64);
        // A row tile within three quarters of L1; a weight block within half of L2, unless it is
        // a single panel.
        EXPECT_LE(b.depth * 6 * 4, caches.l1 * 3 / 4);
        EXPECT_TRUE(b.columns == 64 || b.columns * b.depth * 4 <= caches.l2 / 2);
      }
    }
  }
}

TEST(Blocking, DepthBlocksAreEven) {
  const Blocking b = choose_blocking(256, 1400, 6, 64, 4, {32 * 1024, 1 << 20, 1 << 25});
  EXPECT_EQ(b.depth, 467u);  // three of 682 at most: 467, 467, 466
}

TEST(BlockRows, ShareTheBatchEvenly) {
  const CacheSizes caches{32 * 1024, 1 << 20, 1 << 25};
  EXPECT_EQ(choose_block_rows(8, 1000, 6, 2, 4, caches), 4u);
  EXPECT_EQ(choose_block_rows(1, 1000, 6, 2, 4, caches), 1u);
  EXPECT_EQ(choose_block_rows(100, 1000, 6, 2, 4, caches), 50u);
  for (const std::size_t batch : {1000u, 4096u, 65536u}) {
    const std::size_t rows = choose_block_rows(batch, 1000, 6, 2, 4, caches);
    EXPECT_EQ(rows % 6, 0u);
    EXPECT_LE(rows * 1000 * 4, caches.l2 / 2);
    // No thread has more than one block more than another.
    const std::size_t blocks = (batch + rows - 1) / rows;
    EXPECT_LE(blocks % 2 * rows, rows);
  }
}

TEST(BlockRows, NeverZero) {
  EXPECT_GE(choose_block_rows(0, 10, 6, 4, 4, kSmall), 1u);
  EXPECT_GE(choose_block_rows(3, 1 << 30, 6, 4, 8, kSmall), 1u);
}

TEST(LargeSizes, DoNotOverflow) {
  const std::size_t five_billion = 5'000'000'000u;
  const Blocking b = choose_blocking(five_billion, five_billion, 6, 64, 8, kLarge);
  EXPECT_GE(b.columns, 64u);
  EXPECT_GE(choose_block_rows(five_billion, five_billion, 6, 2, 8, kLarge), 1u);
  for (const kernels::InstructionSet* set : instruction_sets()) {
    EXPECT_EQ(packed_size<float>(70'400, 70'000, *set->f32), 70'400u * std::size_t{70'000});
  }
  EXPECT_THROW(checked_product(std::size_t{1} << 40, std::size_t{1} << 40), std::bad_alloc);
  EXPECT_THROW(AlignedArray<double>(std::size_t{1} << 61), std::bad_alloc);
}

template <class T>
class Packing : public ::testing::Test {};
using Elements = ::testing::Types<float, double>;
TYPED_TEST_SUITE(Packing, Elements);

// Element (j, p) of W stands where the contract says, and everything else is zero.
TYPED_TEST(Packing, PutsEveryWeightInItsPanel) {
  using T = TypeParam;
  const std::size_t k = 5;
  for (const kernels::InstructionSet* set : instruction_sets()) {
    const kernels::Table<T>& table = set->table<T>();
    for (std::size_t n = 1; n <= 3 * table.tiles[0].nr + 1; ++n) {
      Guarded<T> w(n * k);
      for (std::size_t i = 0; i < n * k; ++i) w[i] = static_cast<T>(i + 1);
      // Both orders of storage.
      for (const bool transposed : {false, true}) {
        const auto rows = static_cast<std::ptrdiff_t>(transposed ? 1 : k);
        const auto columns = static_cast<std::ptrdiff_t>(transposed ? n : 1);
        const ConstMatrixView<T> view{w.data(), n, k, rows, columns};
        Guarded<T> storage(packed_size<T>(n, k, table), T{-1});
        const PackedWeights<T> packed(view, table, storage.data());
        const PanelLayout<T>& layout = packed.layout();
        EXPECT_LT(layout.tail_columns, layout.body->nr);
        EXPECT_GE(layout.tail_nr(), layout.tail_columns);
        std::size_t nonzero = 0;
        for (const T x : storage) nonzero += x != T{0};
        EXPECT_EQ(nonzero, n * k);
        const std::size_t body_columns = layout.body_panels * layout.body->nr;
        for (std::size_t j = 0; j < n; ++j) {
          const bool body = j < body_columns;
          const std::size_t nr = body ? layout.body->nr : layout.tail->nr;
          const T* panel = body ? packed.body_panel(j / nr) : packed.tail_panel();
          const std::size_t column = body ? j % nr : j - body_columns;
          for (std::size_t p = 0; p < k; ++p) {
            ASSERT_EQ(panel[p * nr + column], view(j, p)) << set->name << " n=" << n;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace laminet::testing
