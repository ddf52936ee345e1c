// The only file that knows a library's symbols.
#include "laminet/gemm/blas_library.h"

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <utility>
#include <vector>

#include "laminet/base/lazy.h"
#include "laminet/gemm/blas_location.h"

namespace laminet::blas {
namespace {

using SdotFn = float (*)(std::int64_t, const float*, std::int64_t, const float*, std::int64_t);
using SetThreadsFn = void (*)(int);

struct Close {
  void operator()(void* handle) const { dlclose(handle); }
};

struct Loaded {
  // Closed where anything fails after it was opened: else the next attempt would find it in use.
  std::unique_ptr<void, Close> handle;
  bool found = false;
  Functions functions{};
  LibraryInfo info;
  std::string error;
};

// The wheel scipy-openblas32 renames its symbols so that they cannot meet another copy's.
template <class Fn>
Fn find(void* handle, const std::string& symbol) {
  void* address = dlsym(handle, ("scipy_" + symbol).c_str());
  if (!address) address = dlsym(handle, symbol.c_str());
  return reinterpret_cast<Fn>(address);
}

// Whether the library reads 32-bit integers. One of 64 would read half of each of ours from beside
// it, and go astray. The number of elements passed here is 2 to the former and negative, which is
// none, to the latter.
bool takes_32_bit_integers(SdotFn sdot) {
  const float x[] = {3.0f, 5.0f};
  const std::int64_t two_or_negative = std::numeric_limits<std::int64_t>::min() + 2;
  return sdot(two_or_negative, x, 1, x, 1) == 34.0f;
}

using ChooseFn = int (*)(int);

// MKL chooses at its first call which of its libraries to load, by the environment where nobody
// else did. The one that its environment or default names may need a library of threads that is not
// there, which ends the process, or starts a thread that set_num_threads(1) does not stop.
void choose_layers_of_mkl(void* handle) {
  constexpr int kLp64 = 0;  // 32-bit integers; these values are mkl_service.h's
  constexpr int kSequential = 1;
  if (const auto choose = find<ChooseFn>(handle, "MKL_Set_Interface_Layer")) choose(kLp64);
  if (const auto choose = find<ChooseFn>(handle, "MKL_Set_Threading_Layer")) choose(kSequential);
}

// What each vendor calls it. FlexiBLAS hands on to the library that it has loaded.
std::vector<SetThreadsFn> thread_setters(void* handle) {
  std::vector<SetThreadsFn> found;
  for (const char* name :
       {"openblas_set_num_threads", "MKL_Set_Num_Threads", "bli_thread_set_num_threads",
        "armpl_set_num_threads", "flexiblas_set_num_threads"}) {
    if (const auto set_threads = find<SetThreadsFn>(handle, name)) found.push_back(set_threads);
  }
  return found;
}

// The file of a function that was in the process before that library, as part of another that the
// library needs; empty where it was not. The loader lists files in the order in which they came.
template <class Fn>
std::string file_of_another_part(void* handle, Fn function) {
  Dl_info home{};
  link_map* opened = nullptr;
  if (!dladdr(reinterpret_cast<void*>(function), &home)) return {};
  if (dlinfo(handle, RTLD_DI_LINKMAP, static_cast<void*>(&opened)) != 0) return {};
  const auto base = reinterpret_cast<std::uintptr_t>(home.dli_fbase);
  for (const link_map* earlier = opened->l_prev; earlier; earlier = earlier->l_prev) {
    if (earlier->l_addr == base) return home.dli_fname;
  }
  return {};
}

std::string in_use(const std::string& file) {
  return file + " is in use by another part of this process, whose number of threads would change";
}

void describe(void* handle, LibraryInfo& info) {
  info.name = "CBLAS";
  const auto config = find<const char* (*)()>(handle, "openblas_get_config");
  if (!config) return;
  info.name = "OpenBLAS";
  // "OpenBLAS 0.3.34 DYNAMIC_ARCH NO_AFFINITY SkylakeX MAX_THREADS=64"
  std::istringstream words(config());
  std::string word;
  words >> word >> info.version;
  if (const auto core = find<const char* (*)()>(handle, "openblas_get_corename")) {
    info.core = core();
  }
}

// A variable of the environment, set while this object lives.
class ScopedVariable {
 public:
  ScopedVariable(const char* name, const char* value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    if (setenv(name, value, 1) != 0) throw std::bad_alloc();
  }
  ~ScopedVariable() {
    if (before_) {
      setenv(name_, before_->c_str(), 1);
    } else {
      unsetenv(name_);
    }
  }
  ScopedVariable(const ScopedVariable&) = delete;
  ScopedVariable& operator=(const ScopedVariable&) = delete;

 private:
  const char* name_;
  std::optional<std::string> before_;
};

Loaded refused(std::string why) {
  Loaded loaded;
  loaded.error = std::move(why);
  return loaded;
}

Loaded load_file(const std::string& path) {
  if (void* loaded_before = dlopen(path.c_str(), RTLD_NOW | RTLD_NOLOAD)) {
    dlclose(loaded_before);
    return refused(in_use(path) + "; name a copy of it");
  }
  Loaded loaded;
  // OpenBLAS starts its threads while it is loaded, and they spin for a tenth of a second, unless
  // it reads here that it is to have one. RTLD_LOCAL: the symbols serve us alone.
  {
    const ScopedVariable one_thread("OPENBLAS_NUM_THREADS", "1");
    loaded.handle.reset(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL));
  }
  void* const handle = loaded.handle.get();
  if (!handle) {
    const char* const error = dlerror();
    // Not a fact about the library: the next call tries again. The second is what the C library
    // says where it has no memory for an error's text.
    for (const char* no_memory : {"annot allocate memory", "out of memory"}) {
      if (!error || std::strstr(error, no_memory)) throw std::bad_alloc();
    }
    return refused(error);
  }
  loaded.functions = {find<SgemmFn>(handle, "cblas_sgemm"), find<DgemmFn>(handle, "cblas_dgemm"),
                      find<SgemvFn>(handle, "cblas_sgemv"), find<DgemvFn>(handle, "cblas_dgemv")};
  const Functions& f = loaded.functions;
  if (!f.sgemm || !f.dgemm || !f.sgemv || !f.dgemv) {
    return refused(path + " has no cblas_sgemm, cblas_dgemm, cblas_sgemv and cblas_dgemv");
  }
  const std::vector<SetThreadsFn> setters = thread_setters(handle);
  std::string shared = file_of_another_part(handle, f.sgemm);
  for (const SetThreadsFn setter : setters) {
    if (shared.empty()) shared = file_of_another_part(handle, setter);
  }
  if (!shared.empty()) return refused(path + " needs another library: " + in_use(shared));
  choose_layers_of_mkl(handle);
  const auto sdot = find<SdotFn>(handle, "cblas_sdot");
  if (!sdot || !takes_32_bit_integers(sdot)) {
    return refused(path + (sdot ? " takes 64-bit integers; a library with 32-bit integers is needed"
                                : " has no cblas_sdot, which tells the size of its integers"));
  }
  // Ours share the work out above it.
  for (const SetThreadsFn set_threads : setters) set_threads(1);
  describe(handle, loaded.info);
  loaded.info.path = path;
  loaded.found = true;
  return loaded;
}

// Where the copy installed with this code may be. LAMINET_BLAS_FOLDERS lists it, relative to the
// file that this function was linked into (the Python module, the shared library, the program),
// so that an installation can be moved; absolute entries stay as they are.
std::vector<std::string> installed_paths() {
  std::vector<std::filesystem::path> here;
  Dl_info self{};
  if (dladdr(reinterpret_cast<void*>(&installed_paths), &self) && self.dli_fname) {
    // Of a program it is argv[0]: a bare name where the shell found it in PATH.
    const std::string name = self.dli_fname;
    const std::string file = name.find('/') == std::string::npos ? "/proc/self/exe" : name;
    std::error_code ignored;
    here.push_back(std::filesystem::absolute(file, ignored).parent_path());
    here.push_back(std::filesystem::canonical(file, ignored).parent_path());
  }
  std::vector<std::string> paths;
  for (const auto& base : here) {
    for (const char* folder : {LAMINET_BLAS_FOLDERS}) {
      paths.push_back((base / folder / LAMINET_BLAS_FILE).string());
    }
  }
  return paths;
}

Loaded load() {
  if (const char* path = std::getenv("LAMINET_BLAS"); path && *path) {
    Loaded loaded = load_file(path);
    if (!loaded.found) throw std::runtime_error("LAMINET_BLAS: " + loaded.error);
    return loaded;
  }
  Loaded loaded = refused("no copy of OpenBLAS is installed with laminet");
  for (const std::string& path : installed_paths()) {
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored)) continue;
    loaded = load_file(path);
    if (loaded.found) break;
  }
  return loaded;
}

constinit Lazy<Loaded> instance;

// Unlike what this code makes, a library that another thread is loading cannot be made anew in the
// child of a fork: the loader's lists are in between, and so are the library's own. So a fork waits
// for the end of the load. Not for ever: a C library that calls these handlers under the lock that
// the library's own pthread_atfork() needs would wait for itself (glibc before 2.36). Then the
// child has no BLAS.
constinit std::atomic<pthread_t> forking{};  // the thread that has the lock
constinit std::atomic<bool> cut_off{false};

void before_fork() {
  if (instance.lock().acquire_within(std::chrono::seconds(5))) forking = pthread_self();
}

void after_fork_in_parent() {
  pthread_t self = pthread_self();
  if (forking.compare_exchange_strong(self, pthread_t{})) instance.lock().release();
}

void after_fork_in_child() {
  if (forking != pthread_self()) cut_off = true;
  after_fork_in_parent();
}

[[maybe_unused]] const int fork_handlers =
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);

Loaded load_unless_cut_off() {
  if (!cut_off) return load();
  return refused(
      "another thread was loading the library when this process was forked from its parent");
}

const Loaded& loaded() { return instance.get(load_unless_cut_off); }

}  // namespace

// NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Branch): it has an initial value
const LibraryInfo* library() { return loaded().found ? &loaded().info : nullptr; }

const std::string& load_error() { return loaded().error; }

const Functions& functions() { return loaded().functions; }

}  // namespace laminet::blas
