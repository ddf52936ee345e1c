// How many threads a call may use.
//
// What was asked for counts: by set_num_threads, else by LAMINET_NUM_THREADS. Else it is the CPUs
// that the calling thread may use (affinity, quotas of control groups), at most OMP_NUM_THREADS.
// However many are asked for, no more run than there are such CPUs: the work is split for the
// others and done by those there are.
//
// The CPUs are those of the moment. As asking costs a system call, a thread asks again only where
// work is shared out, or could be if there were more CPUs, and the last answer is older than a
// tenth of a second. Quotas are files: they are read again every five seconds, so that a container
// that is resized is heard, at some 5 us a file.
#pragma once

#include <cstddef>
#include <cstdint>

namespace laminet {

// More than this count as this many: each part that work is split into costs time and memory, also
// where no thread runs it.
inline constexpr std::size_t kMostThreads = 1024;

// The first use throws std::invalid_argument where LAMINET_NUM_THREADS is not a whole number of at
// least 1. OMP_NUM_THREADS is another program's: the first number of its list counts, and what is
// no list of such numbers is as if unset, as OpenMP takes it.
std::size_t num_threads();

// The same for a call of so many floating-point operations: 1, for nothing, where these are too few
// to be shared at all.
std::size_t num_threads(double flops);

// From now on, also where a limit was set before.
void set_num_threads(std::size_t count);

// The most threads that work at a time, the caller among them: the CPUs that it may use.
std::size_t max_threads();

struct ThreadCount {
  std::size_t count;
  const char* source;  // the function, variable or limit that it comes from
};

// The number of threads by the CPUs of now, asked for in any case.
ThreadCount thread_count();

// What was asked for in code; 0: nothing. The limit, one that others set for a while, comes first.
struct ThreadSetting {
  std::uint32_t count = 0;
  std::uint32_t limit = 0;
};
ThreadSetting thread_setting();
void set_thread_setting(ThreadSetting setting);

}  // namespace laminet
