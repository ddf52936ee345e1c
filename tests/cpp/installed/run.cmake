# Installs the build into a fresh prefix, builds programs against it from outside, installs them beside
# it, and runs them from there: with the OpenBLAS of the prefix too, where one was bundled.
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

# A network that Python has saved: two samples, two lines; and what is no network, in words.
set(network_file ${clean} ${WORK}/prefix/bin/network_file)
file(WRITE ${WORK}/samples "0.5 -1 2 0.25 1e-3\n0 0 0 0 0\n1")
execute_process(COMMAND ${network_file} ${NETWORKS}/format_1.safetensors INPUT_FILE ${WORK}/samples
                OUTPUT_VARIABLE lines RESULT_VARIABLE failed)
if(failed OR NOT lines MATCHES "^([-+.e0-9]+ )+\n([-+.e0-9]+ )+\n$")
  message(FATAL_ERROR "network_file: ${failed}: ${lines}")
endif()
execute_process(COMMAND ${network_file} ${SOURCE}/run.cmake RESULT_VARIABLE status
                ERROR_VARIABLE message)
if(NOT status EQUAL 1 OR NOT message MATCHES "run.cmake: bytes 0 to 7 say [^\n]*\n$")
  message(FATAL_ERROR "network_file: ${status}: ${message}")
endif()
