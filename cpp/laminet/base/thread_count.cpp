#include "laminet/base/thread_count.h"

#include <pthread.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdlib>
#include <limits>
#include <string_view>

#include "laminet/base/cgroups.h"
#include "laminet/base/check.h"
#include "laminet/base/cpu_info.h"
#include "laminet/base/per_thread.h"

namespace laminet {
namespace {

constexpr std::int64_t kAffinityPeriod = 100'000'000;  // nanoseconds
constexpr std::int64_t kQuotaPeriod = 5'000'000'000;

// Half of what the least call that is ever shared has (network/plan.cpp, gradients/split.cpp).
constexpr double kTooFewFlopsToShare = 3e4;

std::int64_t now() {
#if defined(CLOCK_MONOTONIC_COARSE)
  // The time of the last tick, 1 to 10 ms ago: it reads no hardware and enters no kernel.
  constexpr clockid_t kClock = CLOCK_MONOTONIC_COARSE;
#else
  constexpr clockid_t kClock = CLOCK_MONOTONIC;
#endif
  timespec time{};
  (void)clock_gettime(kClock, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

std::uint32_t bounded(std::size_t count) {
  return static_cast<std::uint32_t>(std::min(count, kMostThreads));
}

// --- What the CPUs allow -------------------------------------------------------------------------

// Made as the library is loaded: no lock that a fork could leave taken.
const Cgroups cgroups;
std::atomic<std::size_t> quota{cgroups.cpus()};
std::atomic<std::int64_t> next_quota_look{now() + kQuotaPeriod};

std::size_t quota_cpus(std::int64_t time) {
  std::int64_t next = next_quota_look.load(std::memory_order_relaxed);
  if (time >= next && next_quota_look.compare_exchange_strong(next, time + kQuotaPeriod)) {
    quota.store(cgroups.cpus(), std::memory_order_relaxed);
  }
  return quota.load(std::memory_order_relaxed);
}

// A thread's own, as affinity is.
struct Look {
  std::uint32_t cpus = 0;  // 0: not yet looked
  bool by_quota = false;
  std::int64_t next = 0;
};

void look_again(Look& look, std::int64_t time) {
  const std::size_t affinity = affinity_cpus();
  const std::size_t granted = quota_cpus(time);
  look = {bounded(std::min(affinity, granted)), granted < affinity, time + kAffinityPeriod};
}

void look_if_old(Look& look) {
  const std::int64_t time = now();
  if (look.cpus == 0 || time >= look.next) look_again(look, time);
}

// --- What the environment says -------------------------------------------------------------------

struct Environment {
  enum Variable : std::uint32_t { unread, none, own, openmp };
  Variable variable = unread;
  std::uint32_t count = kMostThreads;
};

// A whole number of at least 1; 0 where the text is none.
std::uint32_t whole_number(std::string_view text) {
  std::size_t value = 0;
  const char* const end = text.data() + text.size();
  // NOLINTNEXTLINE(bugprone-suspicious-stringview-data-usage): the end is given
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (rest != end || error == std::errc::invalid_argument) return 0;
  return bounded(error == std::errc{} ? value : kMostThreads);
}

// The first of a list of whole numbers, "4,2", one for each level of nested parallelism; 0 where
// the text is no such list. OpenMP allows white space around each, and its libraries a plus sign.
std::uint32_t first_of_list(std::string_view text) {
  constexpr std::string_view kSpace = " \t\n\v\f\r";
  std::uint32_t first = 0;
  for (bool more = true; more;) {
    const std::size_t comma = text.find(',');
    more = comma != std::string_view::npos;
    std::string_view item = text.substr(0, comma);
    text.remove_prefix(more ? comma + 1 : text.size());
    item.remove_prefix(std::min(item.find_first_not_of(kSpace), item.size()));
    item = item.substr(0, item.find_last_not_of(kSpace) + 1);
    if (item.starts_with('+')) item.remove_prefix(1);
    const std::uint32_t value = whole_number(item);
    if (value == 0) return 0;
    if (first == 0) first = value;
  }
  return first;
}

Environment read_environment() {
  const char* const own = std::getenv("LAMINET_NUM_THREADS");
  if (own && *own) {
    const std::uint32_t count = whole_number(own);
    require(count > 0, "LAMINET_NUM_THREADS must be a whole number of at least 1, got '", own, "'");
    return {Environment::own, count};
  }
  const char* const openmp = std::getenv("OMP_NUM_THREADS");
  const std::uint32_t count = openmp ? first_of_list(openmp) : 0;
  if (count > 0) return {Environment::openmp, count};
  return {Environment::none, kMostThreads};
}

constinit std::atomic<Environment> read_once{Environment{}};
static_assert(decltype(read_once)::is_always_lock_free);

[[gnu::noinline]] Environment read_now() {
  const Environment result = read_environment();
  read_once.store(result, std::memory_order_relaxed);
  return result;
}

Environment environment() {
  const Environment result = read_once.load(std::memory_order_relaxed);
  return result.variable == Environment::unread ? read_now() : result;
}

// --- What was asked for --------------------------------------------------------------------------

constinit std::atomic<ThreadSetting> asked{ThreadSetting{}};
static_assert(decltype(asked)::is_always_lock_free);

// The child of a fork has its own affinity, and may have been given variables of its own.
[[maybe_unused]] const int fork_handler = pthread_atfork(nullptr, nullptr, [] {
  if (Look* const look = thread_object_if_any<Look>()) *look = {};
  next_quota_look.store(0, std::memory_order_relaxed);
  read_once.store({}, std::memory_order_relaxed);
});

// The number that does not depend on the CPUs; 0 where it does.
std::size_t fixed_count(ThreadSetting setting, Environment variables) {
  if (setting.limit > 0) return setting.limit;
  if (setting.count > 0) return setting.count;
  return variables.variable == Environment::own ? variables.count : 0;
}

}  // namespace

std::size_t num_threads(double flops) {
  const Environment variables = environment();
  if (flops < kTooFewFlopsToShare) return 1;
  if (const std::size_t count = fixed_count(asked.load(std::memory_order_relaxed), variables)) {
    return count;
  }
  // Where there are several, those who share work among them look (max_threads).
  Look& look = thread_object<Look>();
  if (look.cpus == 0 || (look.cpus == 1 && variables.count > 1)) look_if_old(look);
  return std::min(look.cpus, variables.count);
}

std::size_t num_threads() { return num_threads(std::numeric_limits<double>::infinity()); }

void set_num_threads(std::size_t count) {
  require(count >= 1, "the number of threads must be at least 1, got ", count);
  asked.store({.count = bounded(count)}, std::memory_order_relaxed);
}

std::size_t max_threads() {
  Look& look = thread_object<Look>();
  look_if_old(look);
  return look.cpus;
}

ThreadCount thread_count() {
  const ThreadSetting setting = asked.load(std::memory_order_relaxed);
  const Environment variables = environment();
  if (setting.limit > 0) return {setting.limit, "threadpoolctl"};
  if (setting.count > 0) return {setting.count, "set_num_threads"};
  if (variables.variable == Environment::own) return {variables.count, "LAMINET_NUM_THREADS"};
  Look& look = thread_object<Look>();
  look_again(look, now());
  if (variables.variable == Environment::openmp && variables.count <= look.cpus) {
    return {variables.count, "OMP_NUM_THREADS"};
  }
  return {look.cpus, look.by_quota ? "cgroup quota" : "CPUs allowed"};
}

ThreadSetting thread_setting() { return asked.load(std::memory_order_relaxed); }

void set_thread_setting(ThreadSetting setting) {
  asked.store({bounded(setting.count), bounded(setting.limit)}, std::memory_order_relaxed);
}

}  // namespace laminet
