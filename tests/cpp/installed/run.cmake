# Installs the build into a fresh prefix, builds program.cpp against it from outside, installs that
# beside it, and runs it from there: with the OpenBLAS of the prefix too, where one was bundled.
file(REMOVE_RECURSE ${WORK})
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "failed: ${ARGN}")
  endif()
endfunction()
run(${CMAKE_COMMAND} --install ${BUILD} --config ${CONFIG} --prefix ${WORK}/prefix --component cpp)
run(${CMAKE_COMMAND} -S ${SOURCE} -B ${WORK}/build -G ${GENERATOR} -DCMAKE_CXX_COMPILER=${CXX}
    -DCMAKE_PREFIX_PATH=${WORK}/prefix -DCMAKE_INSTALL_PREFIX=${WORK}/prefix)
run(${CMAKE_COMMAND} --build ${WORK}/build)
run(${CMAKE_COMMAND} --install ${WORK}/build)

# What the user of the tests has set must not stand in for what the package finds.
set(clean ${CMAKE_COMMAND} -E env --unset=LAMINET_BLAS --unset=LAMINET_BACKEND)
run(${clean} ${WORK}/prefix/bin/program)
run(${clean} ${WORK}/prefix/bin/program tiled)
if(BUNDLED_BLAS)
  run(${clean} ${WORK}/prefix/bin/program blas)
  # As a shell starts it from PATH, by a bare name; and through a link from elsewhere.
  run(${clean} PATH=${WORK}/prefix/bin:$ENV{PATH} program blas)
  file(CREATE_LINK ${WORK}/prefix/bin/program ${WORK}/link SYMBOLIC)
  run(${clean} ${WORK}/link blas)
endif()
