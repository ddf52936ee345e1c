#include "laminet/base/cgroups.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>
#include <utility>

namespace laminet {
namespace {

// Where a hierarchy, or a part of it, is to be seen.
struct Mount {
  std::string root;   // the group that is seen at the folder
  std::string point;  // the folder
};

// Whether a comma-separated list, "rw,cpu,cpuacct", has the word.
bool has_word(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    if (list.substr(0, comma) == word) return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

// mountinfo has spaces and the like in octal, "\040".
std::string unescaped(const std::string& text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    int code = 0;
    if (text[i] == '\\' && i + 3 < text.size() &&
        std::from_chars(&text[i + 1], &text[i + 1] + 3, code, 8).ptr == &text[i + 1] + 3) {
      result += static_cast<char>(code);
      i += 3;
    } else {
      result += text[i];
    }
  }
  return result;
}

// The mounts of a controller's hierarchy of version 1, or, where none is named, of version 2. A
// line of mountinfo: "36 35 0:31 /group /sys/fs/cgroup/cpu rw shared:9 - cgroup cgroup rw,cpu".
std::vector<Mount> mounts_of(const std::string& root, std::string_view controller) {
  std::vector<Mount> mounts;
  std::ifstream file(root + "/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::string skipped;
    std::string type;
    std::string options;
    std::istringstream after(line.substr(dash + 3));
    if (!(after >> type >> skipped >> options)) continue;
    const bool wanted =
        controller.empty() ? type == "cgroup2" : type == "cgroup" && has_word(options, controller);
    if (!wanted) continue;
    Mount mount;
    std::istringstream before(line.substr(0, dash));
    if (!(before >> skipped >> skipped >> skipped >> mount.root >> mount.point)) continue;
    mounts.push_back({unescaped(mount.root), root + unescaped(mount.point)});
  }
  return mounts;
}

// This process's group in that hierarchy. A line of /proc/self/cgroup: "4:cpu,cpuacct:/a/b"; for
// version 2 "0::/a/b".
std::optional<std::string> group_of(const std::string& root, std::string_view controller) {
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string_view list = std::string_view(line).substr(first + 1, second - first - 1);
    const bool wanted =
        controller.empty() ? list.empty() && line.starts_with("0:") : has_word(list, controller);
    if (wanted) return line.substr(second + 1);
  }
  return std::nullopt;
}

// The way from a mount's folder down to a group; nothing where that mount does not show the group.
std::optional<std::string> way_down(const Mount& mount, const std::string& group) {
  // "/.." is above the root of this process's namespace: no folder that it sees.
  if (!group.starts_with('/') || group.starts_with("/..")) return std::nullopt;
  if (mount.root == "/") return group == "/" ? "" : group;
  if (group == mount.root) return "";
  if (group.starts_with(mount.root + "/")) return group.substr(mount.root.size());
  return std::nullopt;
}

// The folders of this process's group and of those above it that can be seen.
std::vector<std::string> folders(const std::string& root, std::string_view controller) {
  const std::vector<Mount> mounts = mounts_of(root, controller);
  const std::optional<std::string> group = group_of(root, controller);
  if (mounts.empty() || !group) return {};
  // A container may see the host's name of its group and, at the mount, the group itself.
  std::string top = mounts.front().point;
  std::string way;
  for (const Mount& mount : mounts) {
    if (const auto found = way_down(mount, *group)) {
      top = mount.point;
      way = *found;
      break;
    }
  }
  std::vector<std::string> result;
  for (; !way.empty(); way.erase(way.rfind('/'))) result.push_back(top + way);
  result.push_back(top);
  return result;
}

bool readable(const std::string& path) { return access(path.c_str(), R_OK) == 0; }

// What a small file begins with, without an allocation; empty where it cannot be read.
class SmallFile {
 public:
  explicit SmallFile(const std::string& path) noexcept {
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    ssize_t size = 0;
    do {
      size = read(file, data_, sizeof data_);
    } while (size < 0 && errno == EINTR);
    close(file);
    if (size > 0) rest_ = {data_, static_cast<std::size_t>(size)};
  }
  SmallFile(const SmallFile&) = delete;
  SmallFile& operator=(const SmallFile&) = delete;

  // The next number; 0 where there is none, as in "max" and "-1".
  std::uint64_t number() noexcept {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\n"), rest_.size()));
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
    return error == std::errc{} ? value : 0;
  }

 private:
  char data_[64];
  std::string_view rest_;
};

}  // namespace

Cgroups::Cgroups(const std::string& root) {
  for (const std::string& folder : folders(root, "cpu")) {
    Quota files{folder + "/cpu.cfs_quota_us", folder + "/cpu.cfs_period_us"};
    if (readable(files.quota)) quotas_.push_back(std::move(files));
  }
  for (const std::string& folder : folders(root, "memory")) {
    Memory files{folder + "/memory.limit_in_bytes", folder + "/memory.usage_in_bytes"};
    if (readable(files.limit)) memories_.push_back(std::move(files));
  }
  for (const std::string& folder : folders(root, "")) {
    Quota files{folder + "/cpu.max", {}};
    if (readable(files.quota)) quotas_.push_back(std::move(files));
    Memory memory{folder + "/memory.max", folder + "/memory.current"};
    if (readable(memory.limit)) memories_.push_back(std::move(memory));
  }
}

std::size_t Cgroups::cpus() const noexcept {
  std::size_t cpus = SIZE_MAX;
  for (const Quota& files : quotas_) {
    // Microseconds of CPU time in a period of so many.
    SmallFile file(files.quota);
    const std::uint64_t quota = file.number();
    const std::uint64_t period =
        files.period.empty() ? file.number() : SmallFile(files.period).number();
    if (quota == 0 || period == 0) continue;
    cpus = std::min<std::size_t>(cpus, quota / period + (quota % period != 0));
  }
  return cpus;
}

std::size_t Cgroups::memory_left() const noexcept {
  std::size_t bytes = SIZE_MAX;
  for (const Memory& files : memories_) {
    const std::uint64_t limit = SmallFile(files.limit).number();
    const std::uint64_t used = SmallFile(files.used).number();
    if (limit == 0 || used == 0) continue;
    bytes = std::min<std::size_t>(bytes, limit - std::min(limit, used));
  }
  return bytes;
}

}  // namespace laminet
