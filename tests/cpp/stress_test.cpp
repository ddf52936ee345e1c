// Everything that the public interface allows at once: threads that share networks, first calls
// that race, settings that change meanwhile, forks. Bounded, and meant for ThreadSanitizer above
// all, which .ci/stages runs it under for each instruction set (LAMINET_ISA); elsewhere it checks
// that every result is the one of a thread alone.
//
// All values are small whole numbers, so that sums are exact and results equal in every back end,
// instruction set and split.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <functional>
#include <memory>
#include <thread>

#include "laminet/gemm/blas_library.h"
#include "laminet/laminet.h"
#include "support.h"

namespace laminet::testing {
namespace {

// It knows no new threads in the child of a process that had several.
#if defined(__SANITIZE_THREAD__)
constexpr bool kThreadSanitizer = true;
#elif defined(__has_feature)
constexpr bool kThreadSanitizer = __has_feature(thread_sanitizer);
#else
constexpr bool kThreadSanitizer = false;
#endif

constexpr std::size_t kCallers = 4;
const std::vector<std::size_t> kSizes = {33, 70, 40, 5};

template <class T>
struct Weights {
  Weights() {
    for (std::size_t l = 0; l + 1 < kSizes.size(); ++l) {
      weights.emplace_back(kSizes[l] * kSizes[l + 1]);
      biases.emplace_back(kSizes[l + 1]);
      fill_with_integers(weights.back(), static_cast<unsigned>(2 * l + 1));
      fill_with_integers(biases.back(), static_cast<unsigned>(2 * l + 2));
    }
  }
  std::vector<DenseView<T>> views() const {
    std::vector<DenseView<T>> views;
    for (std::size_t l = 0; l < weights.size(); ++l) {
      const bool last = l + 1 == weights.size();
      views.push_back({dense_view(weights[l].data(), kSizes[l + 1], kSizes[l]),
                       biases[l].data(),
                       {last ? ActivationKind::identity : ActivationKind::relu}});
    }
    return views;
  }
  std::vector<std::vector<T>> weights, biases;
};

// One network and its derivatives, shared by all callers.
template <class T>
struct Shared {
  explicit Shared(const Weights<T>& weights) : net(weights.views()), derivatives(net) {}
  Mlp<T> net;
  Derivatives<T> derivatives;
};

enum Operation { forward, trace, vjp, jvp, jacobian, layer_jacobians, gradients, one_layer };
constexpr std::size_t kOperations = 8;

// Everything that the operation writes, one after the other.
template <class T>
std::vector<T> run(const Shared<T>& shared, Operation operation, std::size_t batch) {
  const std::size_t inputs = kSizes.front(), outputs = kSizes.back();
  std::vector<T> x_data(batch * inputs), v_data(batch * std::max(inputs, outputs));
  fill_with_integers(x_data, 11);
  fill_with_integers(v_data, 12);
  const auto x = dense_view<const T>(x_data.data(), batch, inputs);
  const auto v = [&](std::size_t n) { return dense_view<const T>(v_data.data(), batch, n); };
  std::vector<std::vector<T>> results;
  const auto result = [&](std::size_t rows, std::size_t columns) {
    return dense_view(results.emplace_back(rows * columns).data(), rows, columns);
  };
  const auto stack = [&](std::size_t rows, std::size_t columns) {
    T* const data = results.emplace_back(batch * rows * columns).data();
    const auto step = static_cast<std::ptrdiff_t>(columns);
    return MatrixStack<T>{data, batch, rows, columns, static_cast<std::ptrdiff_t>(rows) * step,
                          step, 1};
  };
  std::vector<MatrixView<T>> first, second;
  switch (operation) {
    case forward:
      shared.net.forward(x, result(batch, outputs));
      break;
    case trace:
      for (std::size_t l = 1; l < kSizes.size(); ++l) {
        first.push_back(result(batch, kSizes[l]));
        second.push_back(result(batch, kSizes[l]));
      }
      shared.net.trace(x, first, second);
      break;
    case vjp:
      shared.derivatives.vjp(x, v(outputs), result(batch, inputs));
      break;
    case jvp:
      shared.derivatives.jvp(x, v(inputs), result(batch, outputs));
      break;
    case jacobian: {
      const auto y = result(batch, outputs);
      shared.derivatives.jacobian(x, y, stack(outputs, inputs));
      break;
    }
    case layer_jacobians: {
      std::vector<MatrixStack<T>> layers;
      for (std::size_t l = 1; l < kSizes.size(); ++l) {
        layers.push_back(stack(kSizes[l], kSizes[l - 1]));
      }
      shared.derivatives.layer_jacobians(x, layers);
      break;
    }
    case gradients: {
      std::vector<T*> biases;
      for (std::size_t l = 1; l < kSizes.size(); ++l) {
        first.push_back(result(kSizes[l], kSizes[l - 1]));
        biases.push_back(result(1, kSizes[l]).data);
      }
      shared.derivatives.gradients(x, v(outputs), {first, biases}, result(batch, inputs));
      break;
    }
    case one_layer: {
      linear<T>(x, shared.net.layers()[0], result(batch, kSizes[1]));
      break;
    }
  }
  std::vector<T> all;
  for (const std::vector<T>& part : results) all.insert(all.end(), part.begin(), part.end());
  return all;
}

// Few rows, of which threads share the layers; a block; several blocks.
constexpr std::size_t kBatches[] = {1, 9, 150};

template <class T>
class Stress : public ::testing::Test {
 protected:
  Stress() {
    set_num_threads(1);
    const Shared<T> alone(weights_);
    for (std::size_t o = 0; o < kOperations; ++o) {
      for (const std::size_t batch : kBatches) {
        expected_[o].push_back(run(alone, static_cast<Operation>(o), batch));
      }
    }
    set_num_threads(2);
  }
  ~Stress() override {
    set_num_threads(threads_);
    set_backend(std::string(name(backend_)));
    kernels::set_instruction_set(instruction_set_);
  }

  // `index` counts through all operations and batches, each as often as the others.
  bool right(const Shared<T>& shared, std::size_t index) const {
    const std::size_t o = index % kOperations;
    const std::size_t b = index / kOperations % std::size(kBatches);
    return run(shared, static_cast<Operation>(o), kBatches[b]) == expected_[o][b];
  }

  // body(caller) on several threads that begin together.
  static void together(const std::function<void(std::size_t)>& body) {
    std::barrier begin(static_cast<std::ptrdiff_t>(kCallers));
    std::vector<std::thread> callers;
    for (std::size_t c = 0; c < kCallers; ++c) {
      callers.emplace_back([&, c] {
        begin.arrive_and_wait();
        body(c);
      });
    }
    for (std::thread& caller : callers) caller.join();
  }

  // A thread that changes what `change` says until the end of its life.
  class Meanwhile {
   public:
    explicit Meanwhile(std::function<void(std::size_t)> change)
        : thread_([this, change = std::move(change)] {
            for (std::size_t i = 0; !ended_; ++i) {
              change(i);
              std::this_thread::yield();
            }
          }) {}
    ~Meanwhile() {
      ended_ = true;
      thread_.join();
    }

   private:
    std::atomic<bool> ended_{false};
    std::thread thread_;
  };

  const Weights<T> weights_;
  std::vector<std::vector<T>> expected_[kOperations];
  const std::size_t threads_ = num_threads();
  const Backend backend_ = backend();
  const std::string instruction_set_ = kernels::active_instruction_set().name;
};

using Elements = ::testing::Types<float, double>;
TYPED_TEST_SUITE(Stress, Elements);

TYPED_TEST(Stress, CallersOfOneNetwork) {
  const Shared<TypeParam> shared(this->weights_);
  std::atomic<int> wrong{0};
  this->together([&](std::size_t c) {
    for (std::size_t i = 0; i < 3 * kOperations * std::size(kBatches); ++i) {
      wrong += !this->right(shared, i * 5 + c);  // 5 and 24 share no factor: every one comes
    }
  });
  EXPECT_EQ(wrong, 0);
}

// The first calls of a new network pack it, in whatever order they come.
TYPED_TEST(Stress, FirstCallsRace) {
  std::atomic<int> wrong{0};
  for (std::size_t round = 0; round < 2 * kOperations * kOperations; ++round) {
    const Shared<TypeParam> shared(this->weights_);
    this->together([&](std::size_t c) {
      const std::size_t step = c % 2 ? round / kOperations : 0;
      wrong += !this->right(shared, round + step);
    });
  }
  EXPECT_EQ(wrong, 0);
}

TYPED_TEST(Stress, SettingsChangeMeanwhile) {
  const bool has_blas = blas::library() != nullptr;
  const Shared<TypeParam> shared(this->weights_);
  std::atomic<int> wrong{0};
  {
    const typename TestFixture::Meanwhile changes([&](std::size_t i) {
      constexpr const char* names[] = {"tiled", "auto", "blas"};
      set_num_threads(i % 3 + 1);
      set_backend(names[i / 3 % (has_blas ? 3 : 2)]);
    });
    this->together([&](std::size_t c) {
      for (std::size_t i = 0; i < 2 * kOperations * std::size(kBatches); ++i) {
        wrong += !this->right(shared, i * 5 + c);
      }
    });
  }
  EXPECT_EQ(wrong, 0);
}

// A network keeps the set that it was made for; which one that is changes under its makers.
TYPED_TEST(Stress, NetworksAreMadeWhileTheInstructionSetChanges) {
  const std::vector<std::string> sets = kernels::available_instruction_sets();
  std::atomic<int> wrong{0};
  {
    const typename TestFixture::Meanwhile changes(
        [&](std::size_t i) { kernels::set_instruction_set(sets[i % sets.size()]); });
    this->together([&](std::size_t c) {
      for (std::size_t i = 0; i < kOperations * std::size(kBatches); ++i) {
        const Shared<TypeParam> own(this->weights_);
        wrong += !this->right(own, i * 5 + c);
      }
    });
  }
  EXPECT_EQ(wrong, 0);
}

// One thread makes and frees networks while the others call theirs: what belongs to a thread, its
// scratch, does not know the network.
TYPED_TEST(Stress, NetworksComeAndGo) {
  std::atomic<int> wrong{0};
  this->together([&](std::size_t c) {
    auto own = std::make_unique<Shared<TypeParam>>(this->weights_);
    for (std::size_t i = 0; i < 2 * kOperations * std::size(kBatches); ++i) {
      if (i % 3 == c % 3) own = std::make_unique<Shared<TypeParam>>(this->weights_);
      wrong += !this->right(*own, i * 5 + c);
    }
  });
  EXPECT_EQ(wrong, 0);
}

// Forks while others call. The child has the caller's thread alone, and works as a new process.
#ifndef __SANITIZE_ADDRESS__  // GCC 12's leaves its own allocator locked in the child
TYPED_TEST(Stress, ForksWhileOthersCall) {
  const Shared<TypeParam> shared(this->weights_);
  std::atomic<int> wrong{0};
  for (int repeat = 0; repeat < 8; ++repeat) {
    this->together([&](std::size_t c) {
      if (c > 0) {
        for (std::size_t i = 0; i < kOperations; ++i) wrong += !this->right(shared, i * 5 + c);
        return;
      }
      const pid_t child = fork();
      if (child == 0) {
        alarm(60);  // a child that hangs is killed, and fails the test
        if (kThreadSanitizer) set_num_threads(1);
        bool fine = true;
        for (std::size_t i = 0; i < kOperations * std::size(kBatches); ++i) {
          fine = fine && this->right(shared, i);
        }
        _exit(fine ? 0 : 1);
      }
      int status = -1;
      wrong += child < 0 || waitpid(child, &status, 0) != child || status != 0;
    });
  }
  EXPECT_EQ(wrong, 0);
}
#endif

}  // namespace
}  // namespace laminet::testing
