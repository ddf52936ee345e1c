// fork() at any time: the child works, whatever other threads of the parent were in the middle of.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <future>
#include <memory>
#include <stdexcept>
#include <thread>

#include "laminet/base/cpu_info.h"
#include "laminet/base/lazy.h"
#include "laminet/gemm/backend.h"
#include "laminet/gemm/blas_library.h"
#include "laminet/laminet.h"
#include "support.h"

namespace laminet::testing {
namespace {

// Whether `run` returns true in a child of a fork, within a time that no run here takes.
bool works_in_child(const std::function<bool()>& run) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);  // a child that hangs is killed
    _exit(run() ? 0 : 1);
  }
  int status = -1;
  return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
         WEXITSTATUS(status) == 0;
}

TEST(Lazy, IsMadeOnceWhileOthersWait) {
  static constinit Lazy<int> value;
  std::atomic<int> made{0};
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      right += value.get([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        return ++made;
      }) == 1;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 8);
  EXPECT_EQ(made, 1);
}

TEST(Lazy, IsMadeByTheNextWhereOneThrows) {
  static constinit Lazy<int> value;
  EXPECT_THROW(value.get([]() -> int { throw std::runtime_error("not made"); }),
               std::runtime_error);
  EXPECT_EQ(value.get([] { return 7; }), 7);
}

TEST(Lazy, IsMadeAnewInTheChildOfAForkInTheMiddle) {
  static constinit Lazy<int> value;
  std::promise<void> begun, go_on;
  std::thread maker([&] {
    value.get([&] {
      begun.set_value();
      go_on.get_future().wait();
      return 1;
    });
  });
  begun.get_future().wait();
  EXPECT_TRUE(works_in_child([&] {
    // Made here, and then found by a grandchild.
    return value.get([] { return 2; }) == 2 &&
           works_in_child([&] { return value.get([] { return 3; }) == 2; });
  }));
  go_on.set_value();
  maker.join();
  EXPECT_EQ(value.get([] { return 4; }), 1) << "the parent's goes its own way";
}

#ifndef LAMINET_TEST_SANITIZED
// AddressSanitizer and ThreadSanitizer have locks of their own that a fork leaves locked.

struct Net {
  static constexpr std::size_t kWide = 384;
  std::vector<float> weight = std::vector<float>(kWide * 3 * kWide, 0.5f);
  const DenseView<float> layer;
  Mlp<float> mlp;
  Derivatives<float> derivatives{mlp};

  explicit Net(bool tall)
      : layer{dense_view<const float>(weight.data(), tall ? 3 * kWide : kWide,
                                      tall ? kWide : 3 * kWide),
              nullptr,
              {}},
        mlp(std::span<const DenseView<float>>(&layer, 1)) {}
};

using Call = bool (*)(const Net&);

bool forward(const Net& net) {
  const std::size_t n = net.mlp.in_features();
  const std::vector<float> x(2 * n, 1.0f);
  std::vector<float> y(2 * net.mlp.out_features());
  net.mlp.forward(dense_view(x.data(), 2, n), dense_view(y.data(), 2, net.mlp.out_features()));
  return y.back() == 0.5f * static_cast<float>(n);
}

bool vjp(const Net& net) {
  const std::size_t n = net.mlp.in_features();
  const std::size_t m = net.mlp.out_features();
  const std::vector<float> x(n, 1.0f), v(m, 1.0f);
  std::vector<float> result(n);
  net.derivatives.vjp(dense_view(x.data(), 1, n), dense_view(v.data(), 1, m),
                      dense_view(result.data(), 1, n));
  return result.back() == 0.5f * static_cast<float>(m);
}

bool jacobian(const Net& net) {
  const std::size_t n = net.mlp.in_features();
  const std::size_t m = net.mlp.out_features();
  const std::vector<float> x(n, 1.0f);
  std::vector<float> j(m * n);
  const auto step = static_cast<std::ptrdiff_t>(n);
  net.derivatives.jacobian(dense_view(x.data(), 1, n), {}, {j.data(), 1, m, n, 0, step, 1});
  return j.front() == 0.5f && j.back() == 0.5f;
}

// What a network makes when it is first needed: weights packed, packed for the way back, transposed
// for the way forward.
TEST(Fork, DuringTheFirstCallOfANetwork) {
  set_backend("tiled");
  for (const Call call : {forward, vjp, jacobian}) {
    for (int i = 0; i < 12; ++i) {
      const auto net = std::make_unique<Net>(call == jacobian);
      std::atomic<bool> begun{false};
      std::thread thread([&] {
        begun = true;
        call(*net);
      });
      while (!begun) std::this_thread::yield();
      std::this_thread::sleep_for(std::chrono::microseconds(40 * i));
      EXPECT_TRUE(works_in_child([&] { return call(*net); }));
      thread.join();
      EXPECT_TRUE(call(*net));
    }
  }
  set_backend("auto");
}

// Ends the process with 0 where a fork in the middle of the load of BLAS has a child that uses it.
void fork_during_the_load() {
  alarm(60);
  int ends[2];
  if (pipe(ends) != 0) _exit(2);
  setenv("LAMINET_BLAS", LAMINET_TEST_SLOW_BLAS, 1);
  setenv("LAMINET_TEST_SLOW_BLAS_FD", std::to_string(ends[1]).c_str(), 1);
  std::thread loader([] { set_backend("blas"); });
  char begun;
  if (read(ends[0], &begun, 1) != 1) _exit(3);
  const bool works = works_in_child([] { return blas::library() != nullptr; });
  loader.join();
  _exit(!works ? 4 : blas::library() ? 0 : 5);
}

TEST(ForkDeathTest, DuringTheLoadOfBlas) {
  ::testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_EXIT(fork_during_the_load(), ::testing::ExitedWithCode(0), "");
}
#endif

}  // namespace
}  // namespace laminet::testing
