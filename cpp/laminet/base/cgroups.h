// The limits that Linux control groups, of version 1 or 2, put on this process.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace laminet {

// A process is in a group of each hierarchy and bound by that group and all those above it. Which
// groups these are is found once; the limits are read anew at each call. Without control groups, or
// where their files cannot be understood, nothing bounds.
class Cgroups {
 public:
  // `root` is put before every path, "/proc" too: a test has its own tree of files.
  explicit Cgroups(const std::string& root = {});

  // CPUs that the strictest quota grants, at least 1; SIZE_MAX where there is none. Rounded up: a
  // quota of 1.5 CPUs is served better by two threads than by one. Allocates nothing.
  std::size_t cpus() const noexcept;

  // Bytes that the strictest memory limit leaves; SIZE_MAX where there is none.
  std::size_t memory_left() const noexcept;

 private:
  struct Quota {
    std::string quota;
    std::string period;  // empty: in the same file
  };
  struct Memory {
    std::string limit;
    std::string used;
  };
  std::vector<Quota> quotas_;
  std::vector<Memory> memories_;
};

}  // namespace laminet
