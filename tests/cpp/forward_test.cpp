// What Python cannot see of a network's forward pass: allocations, and views too large to allocate.
#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <new>
#include <thread>

#include "allocations.h"
#include "laminet/gemm/blas_library.h"
#include "laminet/gemm/reference.h"
#include "laminet/laminet.h"
#include "support.h"

std::atomic<long> laminet::testing::allocations{0};
std::atomic<long> laminet::testing::allocated_bytes{0};

namespace {
void* counted(std::size_t size, std::size_t alignment) {
  laminet::testing::allocations.fetch_add(1);
  laminet::testing::allocated_bytes.fetch_add(static_cast<long>(size));
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
  const std::size_t threads = num_threads();
  set_num_threads(2);
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
      EXPECT_TRUE(becomes_quiet(run)) << backend << " batch " << batch;
    }
  }
  set_num_threads(threads);
  set_backend("auto");
}

// Rows, and then features, that lie more than 2^31 elements apart, in memory that is reserved but
// hardly written, so that it takes next to none.
TEST(Forward, IndexesPast31Bits) {
  const std::size_t rows = 3;
  const std::ptrdiff_t stride = (std::ptrdiff_t{1} << 31) + 40;
  const std::size_t bytes = (2 * static_cast<std::size_t>(stride) + 33) * sizeof(float);
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  const auto check = [&](const Mlp<float>& net, std::ptrdiff_t row_stride,
                         std::ptrdiff_t column_stride) {
    const std::size_t in = net.in_features();
    const MatrixView<float> x{static_cast<float*>(memory), rows, in, row_stride, column_stride};
    std::vector<float> dense(rows * in);
    fill_with_integers(dense, 9);
    copy<float>(dense_view(dense.data(), rows, in), x);
    std::vector<float> expected(rows * 5);
    std::vector<float> got(rows * 5);
    for (const std::string& backend : backends()) {
      set_backend(backend);
      net.forward(dense_view<const float>(dense.data(), rows, in),
                  dense_view(expected.data(), rows, 5));
      net.forward(x, dense_view(got.data(), rows, 5));
      EXPECT_EQ(got, expected) << backend << " strides " << row_stride << " " << column_stride;
    }
    // A `copy` that is wrong in the same way when it reads and writes would pass until here.
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t j = 0; j < in; ++j) {
        const std::size_t at =
            i * static_cast<std::size_t>(row_stride) + j * static_cast<std::size_t>(column_stride);
        EXPECT_EQ(static_cast<float*>(memory)[at], dense[i * in + j]);
      }
    }
  };
  const Layers layers;
  check(Mlp<float>(layers.views()), stride, 1);
  const std::vector<DenseView<float>> narrow = {{dense_view(layers.w2.data(), 5, 3), nullptr, {}}};
  check(Mlp<float>(narrow), 1, stride);
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

TEST(Trace, RefusesWrongViews) {
  const Layers layers;
  const Mlp<float> net(layers.views());
  const std::vector<float> x(2 * 33);
  std::vector<float> z1(2 * 70), a1(2 * 70), z2(2 * 10), a2(2 * 5);
  using Views = std::vector<MatrixView<float>>;
  const Views good_z = {dense_view(z1.data(), 2, 70), dense_view(z2.data(), 2, 5)};
  const Views good_a = {dense_view(a1.data(), 2, 70), dense_view(a2.data(), 2, 5)};
  const auto trace = [&](std::size_t in, const Views& z, const Views& a) {
    net.trace(dense_view<const float>(x.data(), 2, in), z, a);
  };
  EXPECT_NO_THROW(trace(33, good_z, good_a));
  EXPECT_THROW(trace(32, good_z, good_a), std::invalid_argument);
  const std::vector<Views> wrong = {
      {},
      {good_z[0]},
      {good_z[0], good_z[1], good_z[1]},
      {good_z[1], good_z[0]},
      {good_z[0].row_block(0, 1), good_z[1]},
      {good_z[0], good_z[1].column_block(0, 4)},
      {good_z[0], {z2.data(), 2, 5, 10, 2}},
  };
  for (const Views& views : wrong) {
    EXPECT_THROW(trace(33, views, good_a), std::invalid_argument);
    EXPECT_THROW(trace(33, good_z, views), std::invalid_argument);
  }
}

// Infinity times zero is no number: a parameter that is finite in double alone must not get in.
TEST(Activation, RefusesParametersThatAreNotFinite) {
  const float w32 = 1, x32 = 0;
  const double w64 = 1;
  float y32 = 0;
  const auto make32 = [&](const Activation& activation) {
    const DenseView<float> layer{dense_view(&w32, 1, 1), nullptr, activation};
    EXPECT_THROW(Mlp<float>(std::span(&layer, 1)), std::invalid_argument);
    EXPECT_THROW(linear<float>(dense_view(&x32, 1, 1), layer, dense_view(&y32, 1, 1)),
                 std::invalid_argument);
  };
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  constexpr double inf = std::numeric_limits<double>::infinity();
  for (const double value : {nan, inf, -inf, 1e39, -1e39}) {
    make32({ActivationKind::elu, value});
    make32({ActivationKind::leaky_relu, value});
    make32({ActivationKind::hard_sigmoid, value, 0.5});
    make32({ActivationKind::hard_sigmoid, 0.2, value});
  }
  const auto make64 = [&](double alpha) {
    const DenseView<double> layer{dense_view(&w64, 1, 1), nullptr, {ActivationKind::elu, alpha}};
    return Mlp<double>(std::span(&layer, 1)).out_features();
  };
  EXPECT_EQ(make64(1e39), 1u) << "finite in float64";
  for (const double value : {nan, inf, -inf}) EXPECT_THROW(make64(value), std::invalid_argument);
}

TEST(FloatMode, OfTheCallerNeitherCountsNorChanges) {
#if defined(__x86_64__)
  // Weights and inputs whose products, and sums, are subnormal numbers or nearly, and not exact.
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  std::vector<float> w1(64 * 40), w2(30 * 64), x(3000 * 40);
  for (float& w : w1) w = normal(random) * 1e-20f;
  for (float& w : w2) w = normal(random);
  std::vector<float> cotangent(3000 * 30);
  for (float& v : x) v = normal(random) * 1e-19f;
  for (float& v : cotangent) v = normal(random) * 1e-19f;
  const std::vector<DenseView<float>> layers = {
      {dense_view(w1.data(), 64, 40), nullptr, {ActivationKind::tanh}},
      {dense_view(w2.data(), 30, 64), nullptr, {}}};
  const Mlp<float> net(layers);
  const auto results = [&] {
    std::vector<float> all(3000 * (30 + 2 * 94 + 64 + 40 + 30 + 40 + 64 * 40 + 30 * 64) + 64 * 40 +
                           30 * 64 + 60 * 30 * 40);
    float* next = all.data();
    const auto view = [&](std::size_t columns) {
      next += 3000 * columns;
      return dense_view(next - 3000 * columns, 3000, columns);
    };
    const auto in = dense_view<const float>(x.data(), 3000, 40);
    net.forward(in, view(30));
    const std::vector<MatrixView<float>> z = {view(64), view(30)}, a = {view(64), view(30)};
    net.trace(in, z, a);
    linear<float>(in, layers[0], view(64));
    const Derivatives<float> derivatives(net);
    const auto v = dense_view<const float>(cotangent.data(), 3000, 30);
    derivatives.vjp(in, v, view(40));
    derivatives.jvp(in, in, view(30));
    const auto stack = [&](std::size_t count, std::size_t rows, std::size_t columns) {
      float* const data = next;
      next += count * rows * columns;
      const auto step = static_cast<std::ptrdiff_t>(columns);
      return MatrixStack<float>{
          data, count, rows, columns, static_cast<std::ptrdiff_t>(rows) * step, step, 1};
    };
    const std::vector<MatrixStack<float>> factors = {stack(3000, 64, 40), stack(3000, 30, 64)};
    derivatives.layer_jacobians(in, factors);
    const std::vector<MatrixView<float>> dw = {stack(1, 64, 40)[0], stack(1, 30, 64)[0]};
    const std::vector<float*> db = {nullptr, nullptr};
    derivatives.gradients(in, v, {dw, db}, view(40));
    derivatives.jacobian(in.row_block(0, 60), {}, stack(60, 30, 40));
    EXPECT_EQ(next, all.data() + all.size());
    return all;
  };
  const std::size_t threads = num_threads();
  set_num_threads(2);
  for (const std::string& backend : backends()) {
    set_backend(backend);
    const std::vector<float> expected = results();
    EXPECT_GT(std::count_if(expected.begin(), expected.end(),
                            [](float v) { return std::fpclassify(v) == FP_SUBNORMAL; }),
              100'000);
    // All exceptions masked, as always; flush to zero, denormals are zero, and each rounding.
    constexpr unsigned masked = 0x1F80, flush = 0x8040;
    for (const unsigned mode : {masked | flush, masked | 0x2000, masked | flush | 0x6000}) {
      const unsigned before = __builtin_ia32_stmxcsr();
      __builtin_ia32_ldmxcsr(mode);
      const std::vector<float> got = results();
      const unsigned after = __builtin_ia32_stmxcsr();
      __builtin_ia32_ldmxcsr(before);
      EXPECT_EQ(std::memcmp(got.data(), expected.data(), got.size() * sizeof(float)), 0)
          << backend << std::hex << " mode " << mode;
      constexpr unsigned sticky = 0x3F;  // exceptions that occurred
      EXPECT_EQ(after & ~sticky, mode) << backend;
    }
  }
  set_num_threads(threads);
  set_backend("auto");
#else
  GTEST_SKIP() << "sets the mode by an x86 instruction";
#endif
}

}  // namespace
}  // namespace laminet::testing
