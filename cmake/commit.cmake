# Run at build time: writes the version header, only when it changed.
#   cmake -DSOURCE=... -DHEADER=... -DVERSION=... -DCOMPILER=... -P commit.cmake
find_program(GIT git)
set(commit unknown)
if(GIT AND EXISTS ${SOURCE}/.git)
  execute_process(COMMAND ${GIT} -C ${SOURCE} rev-parse --short=12 HEAD
    OUTPUT_VARIABLE found OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE status)
  if(status EQUAL 0)
    set(commit ${found})
  endif()
endif()
set(text "#pragma once\n#define WALRUS_VERSION \"${VERSION}\"\n#define WALRUS_COMMIT \"${commit}\"\n#define WALRUS_COMPILER \"${COMPILER}\"\n")
set(old "")
if(EXISTS ${HEADER})
  file(READ ${HEADER} old)
endif()
if(NOT old STREQUAL text)
  file(WRITE ${HEADER} "${text}")
endif()
