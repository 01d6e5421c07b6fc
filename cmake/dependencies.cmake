# All from Debian 12's packages; packaging/packages lists them.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)

find_library(ISAL_LIBRARY isal REQUIRED)
add_library(walrus_isal INTERFACE)
target_link_libraries(walrus_isal INTERFACE ${ISAL_LIBRARY})

# Included whole (XXH_INLINE_ALL): nothing to link.
find_path(XXHASH_INCLUDE_DIR xxhash.h REQUIRED)

# Asio on epoll, header only; nothing of it may spawn threads or use io_uring.
find_package(Boost 1.81 REQUIRED)
find_package(OpenSSL REQUIRED)
add_library(walrus_asio INTERFACE)
target_link_libraries(walrus_asio INTERFACE Boost::headers Threads::Threads)

pkg_check_modules(codecs REQUIRED IMPORTED_TARGET libzstd liblz4 zlib)
find_library(SNAPPY_LIBRARY snappy REQUIRED)
add_library(walrus_codecs INTERFACE)
target_link_libraries(walrus_codecs INTERFACE PkgConfig::codecs ${SNAPPY_LIBRARY})

find_package(nlohmann_json REQUIRED)
find_package(spdlog REQUIRED)
find_package(CLI11 REQUIRED)
add_library(walrus_toml INTERFACE)
target_compile_definitions(walrus_toml INTERFACE TOML_EXCEPTIONS=0)
pkg_check_modules(edit REQUIRED IMPORTED_TARGET libedit)
add_library(walrus_edit INTERFACE)
target_link_libraries(walrus_edit INTERFACE PkgConfig::edit)

if(WALRUS_TESTS)
  find_package(GTest REQUIRED)
  find_package(rapidcheck REQUIRED)
  include(GoogleTest)
  enable_testing()
  find_program(PYTHON python3)
  if(NOT PYTHON)
    set(PYTHON python3)  # building needs none; ./dev test installs it
  endif()
endif()
