#include "common.h"
#include "laminet/base/cpu_info.h"
#include "laminet/base/thread_count.h"

int main(int argc, char** argv) {
  using namespace laminet;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::AddCustomContext("cpu", cpu_name());
  benchmark::AddCustomContext("threads", std::to_string(num_threads()));
  if (const blas::LibraryInfo* library = blas::library()) {
    benchmark::AddCustomContext("blas",
                                library->name + " " + library->version + " " + library->core);
  }
  bench::register_layers();
  bench::register_networks();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
