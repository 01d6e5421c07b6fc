include(cmake/tuning.cmake)

# What every target is compiled with.
add_library(walrus_options INTERFACE)
target_compile_options(walrus_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wno-missing-field-initializers
  -fno-omit-frame-pointer)
target_compile_definitions(walrus_options INTERFACE BOOST_ASIO_NO_DEPRECATED)
target_include_directories(walrus_options INTERFACE
  $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/src> $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include>)
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  target_compile_options(walrus_options INTERFACE -march=x86-64-v2)
endif()
