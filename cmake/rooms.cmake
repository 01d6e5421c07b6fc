# Where tests find golden bytes. A header, since a definition would put the path of the tree into
# the command of every test, and no two trees could share what a compiler cache holds.
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/walrus_source_dir.h
  CONTENT "#pragma once\n#define WALRUS_SOURCE_DIR \"${CMAKE_SOURCE_DIR}\"\n")

# Of a release too, a test is sooner compiled than run: a third of the time goes into making it fast
# and into lines for a debugger, for which there is the preset "debug".
function(walrus_quick_to_compile target)
  target_compile_options(${target} PRIVATE $<$<CONFIG:RelWithDebInfo>:-O1 -g0>)
endfunction()

# walrus_room(NAME [USES room...] [LINK target...]): the static library walrus_NAME from all
# src/NAME/**.cc but *_test.cc and main.cc, and the program walrus_NAME_test from all *_test.cc
# and *_test.c.
function(walrus_room name)
  cmake_parse_arguments(room "" "" "USES;LINK" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.cc)
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  file(GLOB_RECURSE c_tests CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*_test.c)
  list(FILTER sources EXCLUDE REGEX "(_test|/main)\\.cc$")
  if(NOT sources)
    return()
  endif()
  add_library(walrus_${name} STATIC ${sources})
  target_link_libraries(walrus_${name} PUBLIC walrus_options ${room_LINK})
  foreach(used ${room_USES})
    if(TARGET walrus_${used})
      target_link_libraries(walrus_${name} PUBLIC walrus_${used})
    endif()
  endforeach()
  if(WALRUS_TESTS AND tests)
    add_executable(walrus_${name}_test ${tests})
    if(c_tests)  # apart: a target with two languages can share no precompiled headers
      add_library(walrus_${name}_c_test OBJECT ${c_tests})
      target_link_libraries(walrus_${name}_c_test PRIVATE walrus_${name})
      target_link_libraries(walrus_${name}_test PRIVATE walrus_${name}_c_test)
    endif()
    target_link_libraries(walrus_${name}_test PRIVATE walrus_${name} GTest::gmock GTest::gtest_main
      rapidcheck)
    target_include_directories(walrus_${name}_test PRIVATE ${CMAKE_BINARY_DIR}/generated)
    walrus_quick_to_compile(walrus_${name}_test)
    gtest_discover_tests(walrus_${name}_test TEST_PREFIX "${name}." DISCOVERY_TIMEOUT 60
      PROPERTIES LABELS unit TIMEOUT 120 ENVIRONMENT RC_PARAMS=seed=2026)
  endif()
endfunction()
