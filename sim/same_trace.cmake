# The same seeds in two processes, with environments of different size: the output, which ends with
# the trace hash, has to be the same byte for byte.
string(REPEAT "x" 5000 padding)
execute_process(COMMAND ${SIM} --world ${WORLD} --first 7 --seeds ${SEEDS} --no-family-check
  OUTPUT_VARIABLE one RESULT_VARIABLE failed_one)
execute_process(COMMAND ${CMAKE_COMMAND} -E env PADDING=${padding}
  ${SIM} --world ${WORLD} --first 7 --seeds ${SEEDS} --no-family-check
  OUTPUT_VARIABLE two RESULT_VARIABLE failed_two)
if(failed_one OR failed_two)
  message(FATAL_ERROR "the seeds fail:\n${one}${two}")
endif()
if(NOT one STREQUAL two)
  message(FATAL_ERROR "two processes differ:\n${one}\n${two}")
endif()
if(NOT one MATCHES "trace [0-9a-f]+")
  message(FATAL_ERROR "no trace hash in:\n${one}")
endif()
