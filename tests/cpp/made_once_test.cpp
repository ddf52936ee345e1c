// What Python cannot see of a value that is made once: who waits for whom.
#include "laminet/base/made_once.h"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

#include "laminet/base/interruption.h"
#include "support.h"

namespace laminet::testing {
namespace {

auto one(int value) {
  return [value] { return std::make_unique<const int>(value); };
}

TEST(MadeOnce, AllThreadsGetTheSameValue) {
  MadeOnce<int> value;
  EXPECT_EQ(value.if_made(), nullptr);
  std::vector<const int*> seen(8);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < seen.size(); ++i) {
    threads.emplace_back([&, i] {
      seen[i] = &value.get([i] {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        return std::make_unique<const int>(static_cast<int>(i));
      });
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const int* other : seen) EXPECT_EQ(other, seen[0]);
  EXPECT_EQ(value.if_made(), seen[0]);
}

TEST(MadeOnce, WhoWaitsDoesNotMakeItAgain) {
  MadeOnce<int> value;
  std::atomic<bool> making{false};
  std::atomic<int> made{0};
  const auto make = [&] {
    making = true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    ++made;
    return std::make_unique<const int>(3);
  };
  std::thread first([&] { value.get(make); });
  while (!making) std::this_thread::yield();
  const Interruptible somebody_asks([](void*) {}, nullptr);  // who then waits without an end
  value.get(make);
  first.join();
  EXPECT_EQ(made, 1);
  EXPECT_EQ(value.get(one(4)), 3);
}

TEST(MadeOnce, WhatThrowsLeavesItUnmade) {
  MadeOnce<int> value;
  const auto fails = []() -> std::unique_ptr<const int> { throw std::runtime_error("no"); };
  EXPECT_THROW(value.get(fails), std::runtime_error);
  EXPECT_EQ(value.if_made(), nullptr);
  std::thread([&] { EXPECT_EQ(value.get(one(7)), 7); }).join();
  EXPECT_EQ(value.get(fails), 7);
}

TEST(MadeOnce, CodeThatInterruptsTheMakingMayNeedIt) {
  MadeOnce<int> value;
  const int& outer = value.get([&] {
    EXPECT_EQ(value.get(one(1)), 1);
    return std::make_unique<const int>(2);
  });
  EXPECT_EQ(outer, 1);  // the first that was ready
}

TEST(MadeOnce, WhoHoldsWhatTheMakerNeedsDoesNotWaitForIt) {
  MadeOnce<int> value;
  std::atomic<bool> making{false};
  std::atomic<bool> released{false};
  std::thread maker([&] {
    value.get([&] {
      making = true;
      while (!released) std::this_thread::yield();
      return std::make_unique<const int>(1);
    });
  });
  while (!making) std::this_thread::yield();
  EXPECT_EQ(value.get(one(2)), 2);
  released = true;
  maker.join();
  EXPECT_EQ(value.get(one(3)), 2);
}

TEST(MadeOnce, TheChildOfAForkDoesNotWaitForAThreadThatItHasNot) {
  MadeOnce<int> value;
  std::atomic<bool> making{false};
  std::atomic<bool> released{false};
  std::thread maker([&] {
    value.get([&] {
      making = true;
      while (!released) std::this_thread::yield();
      return std::make_unique<const int>(1);
    });
  });
  while (!making) std::this_thread::yield();
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);                                                 // ends it where it waits
    const Interruptible somebody_asks([](void*) {}, nullptr);  // who then waits without an end
    _exit(value.get(one(2)) == 2 ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  released = true;
  maker.join();
  EXPECT_EQ(value.get(one(3)), 1);
}

}  // namespace
}  // namespace laminet::testing
