// A CBLAS library, loaded at run time: which one, and its functions.
#pragma once

#include <string>

namespace laminet::blas {

struct LibraryInfo {
  std::string name;     // "OpenBLAS", or "CBLAS" where the library does not tell
  std::string version;  // empty where it does not tell
  std::string core;     // the kernels it chose, as it calls them
  std::string path;
};

// The library, or null where there is none: LAMINET_BLAS where set, else the copy of OpenBLAS that
// is installed beside this code. Loaded on the first call, and set to one thread: the team of
// base/parallel is the only parallelism. Throws std::runtime_error where LAMINET_BLAS names a file
// that cannot be used. A fork waits for the end of a load under way, for 5 seconds: then the child
// has none.
const LibraryInfo* library();

// Why library() is null; empty where it is not.
const std::string& load_error();

using SgemmFn = void (*)(int, int, int, int, int, int, float, const float*, int, const float*, int,
                         float, float*, int);
using DgemmFn = void (*)(int, int, int, int, int, int, double, const double*, int, const double*,
                         int, double, double*, int);
using SgemvFn = void (*)(int, int, int, int, float, const float*, int, const float*, int, float,
                         float*, int);
using DgemvFn = void (*)(int, int, int, int, double, const double*, int, const double*, int, double,
                         double*, int);

struct Functions {
  SgemmFn sgemm;
  DgemmFn dgemm;
  SgemvFn sgemv;
  DgemvFn dgemv;
};

// Those of library(), which is not null.
const Functions& functions();

}  // namespace laminet::blas
