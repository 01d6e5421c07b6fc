# The installable package: one library libwalrus merged from the engine's rooms, its headers, the
# CMake and pkg-config descriptions, the program with its manual, completions and service unit.
include(CMakePackageConfigHelpers)

# --- the library --------------------------------------------------------------------------------
set(engine_rooms base io record log)
set(engine_objects)
set(engine_complete ON)
foreach(room ${engine_rooms})
  if(TARGET walrus_${room})
    list(APPEND engine_objects $<TARGET_OBJECTS:walrus_${room}>)
  else()
    set(engine_complete OFF)
  endif()
endforeach()

if(engine_complete)
  add_library(libwalrus ${engine_objects})  # static unless BUILD_SHARED_LIBS
  add_library(walrus::log ALIAS libwalrus)
  set_target_properties(libwalrus PROPERTIES
    OUTPUT_NAME walrus EXPORT_NAME log LINKER_LANGUAGE CXX
    VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
  target_compile_features(libwalrus INTERFACE cxx_std_23)
  target_include_directories(libwalrus INTERFACE
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  # What a program that links the static library has to link too, by plain name, so that the
  # package asks for no CMake package but Threads.
  set(engine_libraries fmt isal zstd lz4 z snappy)
  target_link_libraries(libwalrus
    PRIVATE $<BUILD_INTERFACE:fmt::fmt> $<BUILD_INTERFACE:walrus_isal>
            $<BUILD_INTERFACE:walrus_codecs>
    INTERFACE Threads::Threads)
  if(BUILD_SHARED_LIBS)
    target_link_options(libwalrus PRIVATE
      -Wl,--version-script=${CMAKE_CURRENT_LIST_DIR}/exports.map -Wl,--no-undefined)
    set_property(TARGET libwalrus APPEND PROPERTY
      LINK_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/exports.map)
  else()
    target_link_libraries(libwalrus INTERFACE $<INSTALL_INTERFACE:${engine_libraries}>)
  endif()
  add_library(walrus_all INTERFACE)
  set_target_properties(walrus_all PROPERTIES EXPORT_NAME walrus)
  target_link_libraries(walrus_all INTERFACE libwalrus)
  add_library(walrus::walrus ALIAS walrus_all)

  install(TARGETS libwalrus walrus_all EXPORT walrusTargets
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT dev
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT dev)
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

  # Paths in walrus.pc are relative to the file itself: the package may be moved.
  string(REGEX REPLACE "[^/]+" ".." WALRUS_PC_PREFIX "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
  list(TRANSFORM engine_libraries PREPEND "-l" OUTPUT_VARIABLE linked)
  list(JOIN linked " " WALRUS_PC_LIBS)
  string(APPEND WALRUS_PC_LIBS " -lpthread")
  if(NOT BUILD_SHARED_LIBS)
    set(WALRUS_PC_STATIC " ${WALRUS_PC_LIBS}")
  endif()
  configure_file(${CMAKE_CURRENT_LIST_DIR}/walrus.pc.in ${PROJECT_BINARY_DIR}/package/walrus.pc
    @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/package/walrus.pc
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT dev)
endif()

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
