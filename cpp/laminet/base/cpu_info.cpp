#include "laminet/base/cpu_info.h"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#include "laminet/base/cgroups.h"
#include "laminet/base/lazy.h"

namespace laminet {
namespace {

#if defined(__x86_64__)
// The bits of XCR0, which tell what state the operating system saves: 1 SSE, 2 AVX, 5 to 7 AVX-512.
// Intel SDM volume 1, section 13.3.
constexpr unsigned kXcr0Avx = 0x6;
constexpr unsigned kXcr0Avx512 = 0xE6;

unsigned read_xcr0() {
  unsigned low = 0;
  unsigned high = 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}
#endif

CpuFeatures read_features() {
  CpuFeatures f;
#if defined(__x86_64__)
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return f;
  const bool osxsave = c & (1u << 27);
  const bool fma = c & (1u << 12);
  if (!osxsave) return f;
  const unsigned xcr0 = read_xcr0();
  if ((xcr0 & kXcr0Avx) != kXcr0Avx) return f;
  f.fma = fma;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return f;
  f.avx2 = b & (1u << 5);
  if ((xcr0 & kXcr0Avx512) != kXcr0Avx512) return f;
  f.avx512f = b & (1u << 16);
  f.avx512dq = b & (1u << 17);
  f.avx512bw = b & (1u << 30);
  f.avx512vl = b & (1u << 31);
  if (__get_cpuid_count(7, 1, &a, &b, &c, &d)) f.avx512_bf16 = a & (1u << 5);
#endif
  return f;
}

#if defined(__linux__)
// Not by a stream: where memory is missing it is an empty one.
std::string first_line(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return {};
  char text[4096];
  const ssize_t length = read(file, text, sizeof text);
  close(file);
  const std::string_view all(text, length > 0 ? static_cast<std::size_t>(length) : 0);
  return std::string(all.substr(0, all.find('\n')));
}
#endif

#if defined(__APPLE__)
std::size_t sysctl_size(const char* name, std::size_t fallback) {
  std::size_t value = 0;
  std::size_t length = sizeof value;
  return sysctlbyname(name, &value, &length, nullptr, 0) == 0 && value > 0 ? value : fallback;
}
#endif

#if defined(__linux__)
// CPUs in a list as "0-3,8", by which the kernel names sets of them.
std::size_t count_cpus(const std::string& list) {
  std::istringstream in(list);
  std::size_t count = 0;
  for (std::string range; std::getline(in, range, ',');) {
    std::istringstream parts(range);
    std::size_t first = 0;
    std::size_t last = 0;
    char dash = 0;
    if (!(parts >> first)) continue;
    if (!(parts >> dash >> last) || last < first) last = first;
    count += last - first + 1;
  }
  return std::max<std::size_t>(1, count);
}
#endif

std::vector<CacheLevel> read_cache_levels() {
  std::vector<CacheLevel> levels;
#if defined(__linux__)
  // sysfs knows the caches of Arm cores too, where sysconf and cpuid do not.
  for (int index = 0; index < 8; ++index) {
    const std::string base =
        "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/";
    const std::string type = first_line(base + "type");
    if (type != "Data" && type != "Unified") continue;
    const std::string text = first_line(base + "size");  // "1024K"
    std::istringstream in(text);
    std::size_t value = 0;
    char unit = 0;
    in >> value >> unit;
    if (unit == 'K') value *= 1024;
    if (unit == 'M') value *= 1024 * 1024;
    int level = 0;
    std::istringstream(first_line(base + "level")) >> level;
    if (value == 0 || level < 1) continue;
    levels.push_back({level, value, count_cpus(first_line(base + "shared_cpu_list"))});
  }
  std::sort(levels.begin(), levels.end(),
            [](const CacheLevel& a, const CacheLevel& b) { return a.level < b.level; });
#elif defined(__APPLE__)
  const std::size_t l1 = sysctl_size("hw.perflevel0.l1dcachesize", 0);
  const std::size_t l2 = sysctl_size("hw.perflevel0.l2cachesize", 0);
  if (l1 > 0) levels.push_back({1, l1, 1});
  if (l2 > 0) levels.push_back({2, l2, sysctl_size("hw.perflevel0.cpusperl2", 1)});
#endif
  return levels;
}

// No CPU has more of a shared cache to itself, but for a few made for it (EPYC 9175F: 32 MiB; most
// have 1 to 5). A virtual machine may be shown its host's whole cache as that of the two CPUs it
// has: 480 MiB of Xeon 6972P, which 96 cores share.
constexpr std::size_t kMostOfACpu = std::size_t{16} << 20;

CacheSizes read_cache_sizes() {
  CacheSizes sizes;
  for (const CacheLevel& cache : read_cache_levels()) {
    if (cache.level == 1) sizes.l1 = cache.bytes;
    if (cache.level == 2) sizes.l2 = cache.bytes;
    if (cache.level == 3) sizes.l3 = counted_on(cache, allowed_cpus());
  }
  sizes.l3 = std::max(sizes.l3, sizes.l2);
  return sizes;
}

#if defined(__linux__)
std::size_t read_available_memory() {
  std::size_t bytes = SIZE_MAX;
  std::ifstream file("/proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    std::size_t kib = 0;
    if (!line.starts_with("MemAvailable:")) continue;
    if (std::istringstream(line.substr(13)) >> kib) bytes = kib * 1024;
  }
  bytes = std::min(bytes, Cgroups().memory_left());
  return bytes == SIZE_MAX ? 0 : bytes;
}
#endif

std::string read_cpu_name() {
#if defined(__x86_64__)
  unsigned words[12] = {};
  unsigned max_leaf = __get_cpuid_max(0x80000000u, nullptr);
  if (max_leaf >= 0x80000004u) {
    unsigned* four = words;
    for (unsigned i = 0; i < 3; ++i, four += 4) {
      __get_cpuid(0x80000002u + i, &four[0], &four[1], &four[2], &four[3]);
    }
    const char* text = reinterpret_cast<const char*>(words);
    std::string name(text, std::find(text, text + sizeof words, '\0'));
    const auto not_space = [](unsigned char ch) { return !std::isspace(ch); };
    name.erase(name.begin(), std::find_if(name.begin(), name.end(), not_space));
    name.erase(std::find_if(name.rbegin(), name.rend(), not_space).base(), name.end());
    if (!name.empty()) return name;
  }
  return "x86-64";
#elif defined(__APPLE__)
  char text[256] = {};
  std::size_t length = sizeof text - 1;
  if (sysctlbyname("machdep.cpu.brand_string", text, &length, nullptr, 0) == 0) return text;
  return "Apple";
#elif defined(__aarch64__)
  return "64-bit Arm";
#else
  return "unknown";
#endif
}

constinit Lazy<CpuFeatures> features;
constinit Lazy<CacheSizes> sizes;
constinit Lazy<std::string> cpu;

}  // namespace

std::size_t counted_on(const CacheLevel& cache, std::size_t cpus) {
  const std::size_t sharing = std::max<std::size_t>(1, cache.shared_by);
  return std::clamp<std::size_t>(cpus, 1, sharing) * std::min(cache.bytes / sharing, kMostOfACpu);
}

const CpuFeatures& cpu_features() { return features.get(read_features); }

const CacheSizes& cache_sizes() { return sizes.get(read_cache_sizes); }

std::vector<CacheLevel> cache_levels() { return read_cache_levels(); }

std::size_t available_memory() {
#if defined(__linux__)
  return read_available_memory();
#else
  return 0;
#endif
}

std::string cpu_name() { return cpu.get(read_cpu_name); }

std::size_t affinity_cpus() {
#if defined(__linux__)
  // Room for 8192 CPUs, as many as a kernel is built for; cpu_set_t has room for 1024.
  cpu_set_t sets[8];
  if (sched_getaffinity(0, sizeof sets, sets) == 0) {
    const int cpus = CPU_COUNT_S(sizeof sets, sets);
    if (cpus > 0) return static_cast<std::size_t>(cpus);
  }
#endif
  return std::max(1u, std::thread::hardware_concurrency());
}

std::size_t allowed_cpus() { return std::min(affinity_cpus(), Cgroups().cpus()); }

}  // namespace laminet
