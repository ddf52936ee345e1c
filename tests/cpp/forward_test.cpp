// What Python cannot see of a network's forward pass: allocations, and views too large to allocate.
#include <sys/mman.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <thread>

#include "laminet/gemm/blas.h"
#include "laminet/gemm/reference.h"
#include "laminet/laminet.h"
#include "support.h"

namespace {
std::atomic<long> allocations{0};

void* counted(std::size_t size, std::size_t alignment) {
  allocations.fetch_add(1);
  const std::size_t least = std::max(alignment, sizeof(void*));
  void* p = nullptr;
  if (posix_memalign(&p, least, size ? size : 1) != 0) throw std::bad_alloc();
  return p;
}
}  // namespace

// Every way to `new` in this program, that of the team's threads included.
void* operator new(std::size_t size) { return counted(size, 16); }
void* operator new[](std::size_t size) { return counted(size, 16); }
void* operator new(std::size_t size, std::align_val_t a) {
  return counted(size, static_cast<std::size_t>(a));
}
void* operator new[](std::size_t size, std::align_val_t a) {
  return counted(size, static_cast<std::size_t>(a));
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }

namespace laminet::testing {
namespace {

std::vector<std::string> backends() {
  std::vector<std::string> names = {"tiled"};
  if (blas::library()) names.emplace_back("blas");
  return names;
}

struct Layers {
  Layers() {
    fill_with_integers(w1, 1);
    fill_with_integers(b1, 2);
    fill_with_integers(w2, 3);
  }
  std::vector<DenseView<float>> views() const {
    return {{dense_view(w1.data(), 70, 33), b1.data(), {ActivationKind::relu}},
            {dense_view(w2.data(), 5, 70), nullptr, {}}};
  }
  std::vector<float> w1 = std::vector<float>(70 * 33);
  std::vector<float> b1 = std::vector<float>(70);
  std::vector<float> w2 = std::vector<float>(5 * 70);
};

TEST(Forward, AllocatesNothingAfterTheFirstCall) {
  const Layers layers;
  const Mlp<float> net(layers.views());
  for (const std::string& backend : backends()) {
    set_backend(backend);
    for (const std::size_t batch : {1u, 7u, 2000u}) {
      std::vector<float> x(batch * 33, 1.0f);
      std::vector<float> y(batch * 5);
      // Strides that are gathered and scattered through scratch, too.
      const ConstMatrixView<float> columns{x.data(), batch, 33, 1,
                                           static_cast<std::ptrdiff_t>(batch)};
      const auto run = [&] {
        net.forward(dense_view<const float>(x.data(), batch, 33), dense_view(y.data(), batch, 5));
        net.forward(columns, dense_view(y.data(), batch, 5));
      };
      // Scratch belongs to a thread, and which of the team's threads take part is not fixed.
      for (int i = 0; i < 50; ++i) run();
      const long before = allocations.load();
      for (int i = 0; i < 20; ++i) run();
      EXPECT_EQ(allocations.load(), before) << backend << " batch " << batch;
    }
  }
  set_backend("auto");
}

// Rows that lie more than 2^31 elements apart, in memory that is reserved but never written, so
// that it takes none.
TEST(Forward, IndexesPast31Bits) {
  const Layers layers;
  const Mlp<float> net(layers.views());
  const std::size_t rows = 3;
  const std::ptrdiff_t stride = (std::ptrdiff_t{1} << 31) + 40;
  const std::size_t bytes = (2 * static_cast<std::size_t>(stride) + 33) * sizeof(float);
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  const MatrixView<float> x{static_cast<float*>(memory), rows, 33, stride, 1};
  std::vector<float> dense(rows * 33);
  fill_with_integers(dense, 9);
  copy<float>(dense_view(dense.data(), rows, 33), x);
  std::vector<float> expected(rows * 5);
  std::vector<float> got(rows * 5);
  for (const std::string& backend : backends()) {
    set_backend(backend);
    net.forward(dense_view<const float>(dense.data(), rows, 33),
                dense_view(expected.data(), rows, 5));
    net.forward(x, dense_view(got.data(), rows, 5));
    EXPECT_EQ(got, expected) << backend;
    // The same memory as the columns of a (33, 3) array would be.
    net.forward({x.data, rows, 33, stride, 1}, dense_view(got.data(), rows, 5));
    EXPECT_EQ(got, expected) << backend;
  }
  set_backend("auto");
  munmap(memory, bytes);
}

TEST(Forward, WritesOnlyItsOutput) {
  const Layers layers;
  const Mlp<float> net(layers.views());
  for (const std::string& backend : backends()) {
    set_backend(backend);
    for (const std::size_t batch : {1u, 5u, 100u}) {
      Guarded<float> x(batch * 33, 1.0f);
      Guarded<float> y(batch * 5);
      net.forward(dense_view<const float>(x.data(), batch, 33), dense_view(y.data(), batch, 5));
      // Columns of a wider array: what lies between the rows stays.
      Guarded<float> wide(batch * 9, -3.0f);
      net.forward(dense_view<const float>(x.data(), batch, 33),
                  dense_view(wide.data(), batch, 9).column_block(2, 5));
      for (std::size_t i = 0; i < batch; ++i) {
        for (std::size_t j = 0; j < 9; ++j) {
          const bool inside = j >= 2 && j < 7;
          ASSERT_EQ(wide[i * 9 + j], inside ? y[i * 5 + j - 2] : -3.0f);
        }
      }
    }
  }
  set_backend("auto");
}

TEST(Forward, RefusesWrongShapes) {
  const Layers layers;
  const Mlp<float> net(layers.views());
  std::vector<float> buffer(400);
  EXPECT_THROW(net.forward(dense_view<const float>(buffer.data(), 2, 32),
                           dense_view(buffer.data() + 200, 2, 5)),
               std::invalid_argument);
  EXPECT_THROW(net.forward(dense_view<const float>(buffer.data(), 2, 33),
                           dense_view(buffer.data() + 200, 2, 4)),
               std::invalid_argument);
  EXPECT_THROW(Mlp<float>(std::span<const DenseView<float>>{}), std::invalid_argument);
  std::vector<DenseView<float>> swapped = layers.views();
  std::swap(swapped[0], swapped[1]);
  EXPECT_THROW(Mlp<float>{swapped}, std::invalid_argument);
}

}  // namespace
}  // namespace laminet::testing
