# The installable package: the libraries merged from rooms, their headers, the CMake and pkg-config
# descriptions, the program with its manual, completions and service unit.
include(CMakePackageConfigHelpers)

# --- the libraries ------------------------------------------------------------------------------
# libwalrus_log is the engine, libwalrus what is public besides it: services and the client.
# walrus_library(NAME ROOMS room... LINK target... SYSTEM library...): libNAME from the rooms'
# objects.
function(walrus_library name)
  cmake_parse_arguments(library "" "" "ROOMS;LINK;SYSTEM" ${ARGN})
  set(objects)
  foreach(room ${library_ROOMS})
    list(APPEND objects $<TARGET_OBJECTS:walrus_${room}>)
  endforeach()
  add_library(lib${name} ${objects})  # static unless BUILD_SHARED_LIBS
  set_target_properties(lib${name} PROPERTIES OUTPUT_NAME ${name} LINKER_LANGUAGE CXX
    ARCHIVE_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib
    LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib
    VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
  target_compile_features(lib${name} INTERFACE cxx_std_23)
  target_include_directories(lib${name} INTERFACE
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_link_libraries(lib${name}
    PRIVATE $<BUILD_INTERFACE:fmt::fmt> $<BUILD_INTERFACE:walrus_isal>
            $<BUILD_INTERFACE:walrus_codecs> $<BUILD_INTERFACE:OpenSSL::SSL>
    INTERFACE ${library_LINK} Threads::Threads)
  if(BUILD_SHARED_LIBS)
    set(exports ${PROJECT_SOURCE_DIR}/cmake/exports.map)
    target_link_options(lib${name} PRIVATE
      -Wl,--version-script=${exports} -Wl,--undefined-version -Wl,--no-undefined)
    set_property(TARGET lib${name} APPEND PROPERTY LINK_DEPENDS ${exports})
  else()
    # By plain name, so that the package asks for no CMake package but Threads.
    target_link_libraries(lib${name} INTERFACE
      $<INSTALL_INTERFACE:${library_system} ${library_SYSTEM}>)
  endif()
  install(TARGETS lib${name} EXPORT walrusTargets
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT dev
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT dev)
endfunction()

# walrus_pkg_config(NAME LIBRARY...): paths are relative to the file, so the package may be moved.
function(walrus_pkg_config name)
  string(REGEX REPLACE "[^/]+" ".." WALRUS_PC_PREFIX "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
  set(linked ${ARGN})
  if(NOT BUILD_SHARED_LIBS)
    list(APPEND linked ${library_system} pthread)
  endif()
  list(TRANSFORM linked PREPEND "-l")
  list(JOIN linked " " WALRUS_PC_LIBS)
  set(WALRUS_PC_NAME ${name})
  configure_file(${PROJECT_SOURCE_DIR}/cmake/walrus.pc.in
    ${PROJECT_BINARY_DIR}/package/${name}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/package/${name}.pc
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT dev)
endfunction()

set(library_system fmt isal zstd lz4 z snappy)
set(engine_rooms base io record log)
set(client_rooms net wire raft service client)
if(BUILD_SHARED_LIBS)
  # A shared library shows its public face only, so libwalrus brings the rooms that it uses.
  list(PREPEND client_rooms base io record log)
endif()
walrus_library(walrus_log ROOMS ${engine_rooms})
walrus_library(walrus ROOMS ${client_rooms} LINK libwalrus_log SYSTEM ssl crypto)
set_target_properties(libwalrus_log PROPERTIES EXPORT_NAME log)
set_target_properties(libwalrus PROPERTIES EXPORT_NAME walrus)
walrus_pkg_config(walrus_log walrus_log)
if(BUILD_SHARED_LIBS)
  walrus_pkg_config(walrus walrus walrus_log)
else()
  walrus_pkg_config(walrus walrus walrus_log ssl crypto)
endif()

install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/walrus
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT dev FILES_MATCHING PATTERN "*.h")
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/walrus)
install(EXPORT walrusTargets NAMESPACE walrus:: DESTINATION ${package_dir} COMPONENT dev)
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/walrusConfig.cmake.in
  ${PROJECT_BINARY_DIR}/package/walrusConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/package/walrusConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/package/walrusConfig.cmake
  ${PROJECT_BINARY_DIR}/package/walrusConfigVersion.cmake
  DESTINATION ${package_dir} COMPONENT dev)

# --- the program --------------------------------------------------------------------------------
if(TARGET walrus)
  install(TARGETS walrus RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT server)
  set(completions ${PROJECT_BINARY_DIR}/completions)
  add_custom_command(
    OUTPUT ${completions}/bash ${completions}/zsh ${completions}/fish
    COMMAND ${CMAKE_COMMAND} -E make_directory ${completions}
    COMMAND walrus completion bash > ${completions}/bash
    COMMAND walrus completion zsh > ${completions}/zsh
    COMMAND walrus completion fish > ${completions}/fish
    DEPENDS walrus VERBATIM)
  add_custom_target(walrus_completions ALL
    DEPENDS ${completions}/bash ${completions}/zsh ${completions}/fish)
  install(FILES ${completions}/bash RENAME walrus
    DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions COMPONENT server)
  install(FILES ${completions}/zsh RENAME _walrus
    DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions COMPONENT server)
  install(FILES ${completions}/fish RENAME walrus.fish
    DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d COMPONENT server)
  install(FILES ${PROJECT_SOURCE_DIR}/packaging/walrus.1
    DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT server)
  install(FILES ${PROJECT_SOURCE_DIR}/packaging/walrus.toml
    DESTINATION ${CMAKE_INSTALL_DATADIR}/walrus COMPONENT server)
  # The unit names the program by its full path, which is known when it is installed.
  install(CODE "
    file(READ \"${PROJECT_SOURCE_DIR}/packaging/systemd/walrus.service.in\" unit)
    set(bindir \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}\")
    string(REPLACE \"@BINDIR@\" \"\${bindir}\" unit \"\${unit}\")
    file(WRITE \"${PROJECT_BINARY_DIR}/package/walrus.service\" \"\${unit}\")
    file(INSTALL \"${PROJECT_BINARY_DIR}/package/walrus.service\"
      DESTINATION \"\${CMAKE_INSTALL_PREFIX}/lib/systemd/system\")
    " COMPONENT server)
endif()
set(licence ${PROJECT_SOURCE_DIR}/LICENSE ${PROJECT_SOURCE_DIR}/NOTICE)
install(FILES ${licence} DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/walrus COMPONENT server)
install(FILES ${licence} DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/libwalrus-dev COMPONENT dev)

include(${PROJECT_SOURCE_DIR}/packaging/cpack.cmake)
