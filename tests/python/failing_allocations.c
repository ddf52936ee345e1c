// Allocations that fail on demand, for the tests: preloaded into a process, it stands before those
// of the C library. `operator new` and NumPy's memory come from here, too.
#define _GNU_SOURCE
#include <errno.h>
#include <execinfo.h>
#include <link.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

// glibc's own, whose public names are taken here.
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);

// How many allocations of the module there were since begin_counting(), and which of them fails.
// Below 0: none is counted.
static atomic_long count = -1;
static atomic_long failing;

struct range {
  uintptr_t begin, end;
  const char* name;
};
static struct range module, loader = {.name = "/ld-"};

// Whether the loader's own allocations count, too: those of dlopen().
int loader_counts;

static int find(struct dl_phdr_info* library, size_t size, void* found) {
  struct range* const range = found;
  (void)size;
  if (!strstr(library->dlpi_name, range->name)) return 0;
  range->begin = library->dlpi_addr;
  for (int i = 0; i < library->dlpi_phnum; ++i) {
    const uintptr_t end = library->dlpi_phdr[i].p_vaddr + library->dlpi_phdr[i].p_memsz;
    if (range->begin + end > range->end) range->end = range->begin + end;
  }
  return 1;
}

// To be called once, before the others. Returns whether the module is loaded.
int choose_module(const char* name) {
  void* frame;
  backtrace(&frame, 1);  // which allocates when it is first called
  module.name = name;
  return dl_iterate_phdr(find, &loader) && dl_iterate_phdr(find, &module);
}

void begin_counting(long fails) {
  failing = fails;
  count = 0;
}

// How many there were.
long end_counting(void) { return atomic_exchange(&count, -1); }

static int inside(const void* address, struct range range) {
  return (uintptr_t)address >= range.begin && (uintptr_t)address < range.end;
}

// Whether the module asks, itself or through some functions of NumPy, Python and the C++ library.
// Not through Python code, whose own ways to fail are no concern here, and not through the loader
// unless told so: it ends the process where it has no memory for a thread's variables.
static int module_asks(void) {
  enum { kDepth = 10 };
  void* frames[kDepth];
  const int depth = backtrace(frames, kDepth);
  int asks = 0;
  for (int i = 0; i < depth; ++i) {
    if (inside(frames[i], loader)) return loader_counts;
    asks |= inside(frames[i], module);
  }
  return asks;
}

static int fails(void) {
  if (atomic_load(&count) < 0 || !module_asks()) return 0;
  if (atomic_fetch_add(&count, 1) + 1 != atomic_load(&failing)) return 0;
  errno = ENOMEM;
  return 1;
}

void* malloc(size_t size) { return fails() ? NULL : __libc_malloc(size); }
void* calloc(size_t n, size_t size) { return fails() ? NULL : __libc_calloc(n, size); }
void* realloc(void* p, size_t size) { return fails() ? NULL : __libc_realloc(p, size); }
void* memalign(size_t a, size_t size) { return fails() ? NULL : __libc_memalign(a, size); }
void* aligned_alloc(size_t a, size_t size) { return memalign(a, size); }
int posix_memalign(void** p, size_t a, size_t size) {
  void* const memory = memalign(a, size);
  if (!memory) return ENOMEM;
  *p = memory;
  return 0;
}
void* mmap(void* at, size_t size, int prot, int flags, int fd, off_t offset) {
  if (fails()) return MAP_FAILED;
  return (void*)syscall(SYS_mmap, at, size, prot, flags, fd, offset);
}
void* mmap64(void* at, size_t size, int prot, int flags, int fd, off_t offset) {
  return mmap(at, size, prot, flags, fd, offset);
}
