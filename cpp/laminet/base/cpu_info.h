// What the CPU is and has. The only reader of cpuid, of the cache sizes and of the CPUs that this
// process may use.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace laminet {

// Usable by this process: the CPU has it and the operating system saves its registers.
struct CpuFeatures {
  bool avx2 = false;
  bool fma = false;
  bool avx512f = false;
  bool avx512dq = false;
  bool avx512bw = false;
  bool avx512vl = false;
  bool avx512_bf16 = false;
};

// Bytes of data cache: L1 and L2 of one core, and of L3 what this process may count on. The values
// here stand where the system tells nothing: small ones, as blocks that are too small cost less
// than blocks that do not fit.
struct CacheSizes {
  std::size_t l1 = 32 * 1024;
  std::size_t l2 = 256 * 1024;
  std::size_t l3 = 2 * 1024 * 1024;
};

// One level of the data caches that a core reads through, and how many CPUs share it.
struct CacheLevel {
  int level;
  std::size_t bytes;
  std::size_t shared_by;
};

// What of a cache a process may count on that may use so many CPUs: their share, and no more than
// CPUs have.
std::size_t counted_on(const CacheLevel& cache, std::size_t cpus);

const CpuFeatures& cpu_features();
// By the CPUs that the process may use when it first asks: plans, and what is reserved for them,
// stay as they are.
const CacheSizes& cache_sizes();
// As the system tells, smallest first; empty where it tells nothing.
std::vector<CacheLevel> cache_levels();
std::string cpu_name();

// Bytes of memory that this process may still take without the system swapping or ending it;
// 0 where the system does not tell.
std::size_t available_memory();

// CPUs that the calling thread may run on, at least 1. A system call of some 0.3 us where affinity
// exists (Linux); allocates nothing.
std::size_t affinity_cpus();

// The same, at most what a quota of control groups grants.
std::size_t allowed_cpus();

}  // namespace laminet
