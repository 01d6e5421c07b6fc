# The program: build/*/bin/walrus.
set(commit_header ${CMAKE_BINARY_DIR}/generated/walrus_commit.h)
add_custom_target(walrus_commit BYPRODUCTS ${commit_header}
  COMMAND ${CMAKE_COMMAND} -DSOURCE=${CMAKE_SOURCE_DIR} -DHEADER=${commit_header}
    -DVERSION=${PROJECT_VERSION} "-DCOMPILER=${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}"
    -P ${CMAKE_SOURCE_DIR}/cmake/commit.cmake)
target_include_directories(walrus_cli PRIVATE ${CMAKE_BINARY_DIR}/generated)
add_dependencies(walrus_cli walrus_commit)
add_executable(walrus ${CMAKE_SOURCE_DIR}/src/cli/main.cc)
target_link_libraries(walrus PRIVATE walrus_cli)
