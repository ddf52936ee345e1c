// How many threads a call may use.
#pragma once

#include <cstddef>

namespace laminet {

// How many threads a call may use, the caller among them. The default is LAMINET_NUM_THREADS, else
// allowed_cpus() when the program started. More than that may be asked for, and splits the work
// accordingly, but is not started.
std::size_t num_threads();
void set_num_threads(std::size_t count);

// The most threads that are ever started, the caller among them: allowed_cpus() when the program
// started.
std::size_t max_threads();

}  // namespace laminet
