# The copy of OpenBLAS that is installed with laminet and loaded at run time.
#
# The Python package scipy-openblas32 brings it as one self-contained shared library. It is copied,
# not linked: its pkg-config file records an rpath into the build environment, which pip deletes,
# and its authors forbid it as a run-time dependency.
#
#   LAMINET_BUNDLED_BLAS          the library, or empty where there is none
#   LAMINET_BUNDLED_BLAS_NAME     its file name
#   LAMINET_BUNDLED_BLAS_LICENSE  the text of its licence; empty for a library named by
#                                 LAMINET_OPENBLAS

set(LAMINET_BUNDLED_BLAS "${LAMINET_OPENBLAS}")
set(LAMINET_BUNDLED_BLAS_LICENSE "")

if(NOT LAMINET_BUNDLED_BLAS)
  find_package(Python 3.10 COMPONENTS Interpreter QUIET)
  if(Python_Interpreter_FOUND)
    execute_process(
      COMMAND ${Python_EXECUTABLE} -c "
import importlib.metadata, pathlib, sys
try:
    import scipy_openblas32 as blas
except ImportError:
    sys.exit(print('absent') or 1)
libraries = [p for p in sorted(pathlib.Path(blas.get_lib_dir()).iterdir())
             if p.name.startswith('libscipy_openblas') and p.suffix in ('.so', '.dylib')]
licenses = [f.locate() for f in importlib.metadata.files('scipy-openblas32')
            if f.name.startswith('LICENSE')]
print(f'{libraries[0]};{licenses[0]}')
"
      OUTPUT_VARIABLE found OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_VARIABLE problem RESULT_VARIABLE failed)
    if(NOT failed)
      list(GET found 0 LAMINET_BUNDLED_BLAS)
      list(GET found 1 license)
      configure_file(${license} ${CMAKE_CURRENT_BINARY_DIR}/LICENSE.OpenBLAS COPYONLY)
      set(LAMINET_BUNDLED_BLAS_LICENSE ${CMAKE_CURRENT_BINARY_DIR}/LICENSE.OpenBLAS)
    elseif(NOT found STREQUAL "absent")
      # A library without its licence must not be passed on, and one that was there yesterday not
      # be missing without a word.
      message(FATAL_ERROR "scipy-openblas32 is installed, but not as expected:\n${problem}")
    endif()
  endif()
endif()

if(LAMINET_BUNDLED_BLAS)
  get_filename_component(LAMINET_BUNDLED_BLAS_NAME "${LAMINET_BUNDLED_BLAS}" NAME)
  message(STATUS "laminet: OpenBLAS from ${LAMINET_BUNDLED_BLAS}")
else()
  set(LAMINET_BUNDLED_BLAS_NAME "libscipy_openblas${CMAKE_SHARED_LIBRARY_SUFFIX}")
  message(STATUS "laminet: no OpenBLAS found to install; the tiled back end will serve")
endif()
