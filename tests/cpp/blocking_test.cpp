// The pure functions of sizes: blocking, packing layout, and products of sizes past 2^31.
#include "laminet/gemm/blocking.h"

#include <algorithm>
#include <new>
#include <utility>
#include <vector>

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
        const Blocking b = choose_blocking(100, n, k, 6, 64, 4, caches);
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
  const Blocking b = choose_blocking(7, 256, 1400, 6, 64, 4, {32 * 1024, 1 << 20, 1 << 25});
  EXPECT_EQ(b.depth, 467u);  // three of 682 at most: 467, 467, 466
}

TEST(Blocking, ASingleTileOfRowsTakesWholePanels) {
  const Blocking b = choose_blocking(6, 1000, 70000, 6, 64, 4, kSmall);
  EXPECT_EQ(b.depth, 70000u);
  EXPECT_EQ(b.columns, 1024u);
}

TEST(ShareOfRows, CoversAllRowsEvenly) {
  for (const std::size_t rows : {0u, 1u, 2u, 7u, 64u, 1001u}) {
    for (const std::size_t parts : {1u, 2u, 3u, 16u}) {
      std::size_t next = 0;
      for (std::size_t part = 0; part < parts; ++part) {
        const RowRange range = share_of_rows(rows, parts, part);
        EXPECT_EQ(range.first, next);
        EXPECT_TRUE(range.count == rows / parts || range.count == rows / parts + 1);
        next += range.count;
      }
      EXPECT_EQ(next, rows);
    }
  }
}

TEST(RowBlocks, CoverTheBatchInWholeTiles) {
  const CacheSizes caches{32 * 1024, 1 << 20, 1 << 25};
  for (const std::size_t batch : {1u, 2u, 7u, 8u, 100u, 1000u, 1021u, 65537u}) {
    for (const std::size_t threads : {1u, 2u, 3u, 64u}) {
      const RowBlocks blocks = choose_row_blocks(batch, 1000, 6, threads, 4, caches);
      std::size_t next = 0;
      std::vector<std::size_t> of_thread(blocks.threads);
      for (std::size_t i = 0; i < blocks.count(); ++i) {
        const RowRange range = blocks[i];
        EXPECT_EQ(range.first, next);
        EXPECT_LE(range.count, blocks.most_rows());
        EXPECT_LE(range.count * 1000 * 4, caches.l2 / 2);
        next += range.count;
        of_thread[i / blocks.blocks_per_thread] += range.count;
        const bool ends_a_share = (i + 1) % blocks.blocks_per_thread == 0;
        EXPECT_TRUE(ends_a_share || range.count % 6 == 0) << batch << " on " << threads;
      }
      EXPECT_EQ(next, batch);
      // No thread has more than one row more than another.
      const auto [least, most] = std::minmax_element(of_thread.begin(), of_thread.end());
      EXPECT_LE(*most - *least, 1u);
      EXPECT_EQ(of_thread.size(), std::min(batch, threads));
    }
  }
}

TEST(RowBlocks, NeverNone) {
  EXPECT_EQ(choose_row_blocks(0, 10, 6, 4, 4, kSmall).count(), 1u);
  EXPECT_EQ(choose_row_blocks(0, 10, 6, 4, 4, kSmall)[0].count, 0u);
  EXPECT_GE(choose_row_blocks(3, 1 << 30, 6, 4, 8, kSmall).count(), 1u);
}

TEST(Grid, GivesTheLargestPartTheLeastWork) {
  const auto grid = [](std::size_t rows, std::size_t panels, std::size_t tail,
                       std::size_t threads) {
    const Grid g = choose_grid(rows, panels, 64, tail, 6, threads);
    return std::pair(g.row_parts, g.column_parts);
  };
  using Parts = std::pair<std::size_t, std::size_t>;
  EXPECT_EQ(grid(1, 4, 0, 2), Parts(1, 2));
  EXPECT_EQ(grid(1, 0, 16, 2), Parts(1, 1)) << "one panel cannot be shared";
  EXPECT_EQ(grid(1, 3, 0, 16), Parts(1, 3));
  EXPECT_EQ(grid(64, 0, 16, 2), Parts(2, 1)) << "nor need it be, with rows to share";
  EXPECT_EQ(grid(64, 4, 0, 2), Parts(1, 2)) << "columns where it does not matter";
  EXPECT_EQ(grid(64, 3, 0, 2), Parts(2, 1)) << "2 panels and 1 would not be even";
  EXPECT_EQ(grid(64, 4, 0, 16), Parts(4, 4));
}

TEST(PanelShares, CoverTheLayoutEvenly) {
  const kernels::Table<float>& table = *kernels::kGeneric.f32;
  const std::size_t nr = table.tiles[0].nr;
  for (std::size_t n = 1; n <= 9 * nr; ++n) {
    const PanelLayout<float> layout(n, table);
    for (std::size_t parts = 1; parts <= 5; ++parts) {
      std::size_t next = 0;
      for (std::size_t part = 0; part < parts; ++part) {
        const PanelRange range = layout.share(parts, part);
        EXPECT_EQ(range.first, next);
        EXPECT_LE(range.first, range.last);
        EXPECT_LE(range.last - range.first, layout.panels() / parts + 2);
        next = range.last;
      }
      EXPECT_EQ(next, layout.panels());
    }
  }
}

TEST(LargeSizes, DoNotOverflow) {
  const std::size_t five_billion = 5'000'000'000u;
  const Blocking b = choose_blocking(five_billion, five_billion, five_billion, 6, 64, 8, kLarge);
  EXPECT_GE(b.columns, 64u);
  const RowBlocks blocks = choose_row_blocks(five_billion, five_billion, 6, 2, 8, kLarge);
  const RowRange last = blocks[blocks.count() - 1];
  EXPECT_EQ(last.first + last.count, five_billion);
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
        const PackedWeights<T> packed(view, table, storage.data(), nullptr);
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
          const T* panel = packed.panel(j / layout.body->nr);
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
