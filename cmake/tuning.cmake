# Faster builds with what is installed: a compiler cache, a quick linker, precompiled headers, and
# several sources at a time. None changes what is built. -DWALRUS_TUNING=OFF builds with the plain
# tools.
option(WALRUS_TUNING "Use ccache, lld or mold, and precompiled headers" ON)
set(precompile ${WALRUS_TUNING})
if(CMAKE_CXX_COMPILER_LAUNCHER)
  # Somebody's own cache, which may not know how to cache a precompiled header.
  set(precompile OFF)
endif()
option(WALRUS_PCH "Precompile the standard library's and the big libraries' headers"
  ${precompile})

# Sources of a target are compiled eight at a time: what they include is read once, and what they
# instantiate is made once. That halves the time of a clean build; who edits one source after the
# other compiles less with -DWALRUS_UNITY=OFF.
option(WALRUS_UNITY "Compile several sources of a target at a time" ${WALRUS_TUNING})
set(CMAKE_UNITY_BUILD ${WALRUS_UNITY})
set(CMAKE_UNITY_BUILD_BATCH_SIZE 8)
# But those in which a name stands for something else than in their neighbours.
function(walrus_alone)
  list(TRANSFORM ARGN PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
  set_source_files_properties(${ARGN} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()

if(WALRUS_TUNING)
  find_program(WALRUS_CCACHE ccache)
  if(WALRUS_CCACHE)
    # What the cache has to overlook where headers are precompiled; see ccache(1).
    set(launcher ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      CCACHE_PCH_EXTSUM=true
      ${WALRUS_CCACHE})
    foreach(language C CXX)
      if(NOT CMAKE_${language}_COMPILER_LAUNCHER)
        set(CMAKE_${language}_COMPILER_LAUNCHER ${launcher})
      endif()
    endforeach()
  endif()
  include(CheckLinkerFlag)
  foreach(linker lld mold)
    check_linker_flag(CXX -fuse-ld=${linker} WALRUS_LINKER_${linker})
    if(WALRUS_LINKER_${linker})
      add_link_options(-fuse-ld=${linker})
      break()
    endif()
  endforeach()
endif()

# Reading the standard headers that nearly every source needs is half of the time that it takes to
# compile. They are precompiled twice, for all libraries and for all programs (with gtest), since
# clang shares nothing between -fPIC and -fPIE.
#
# Not by target_precompile_headers(): that compiles them for each target anew or makes targets wait
# for each other, and puts absolute paths into every command, so that a compiler cache is of no use
# to another working tree. Here the path is relative to where Ninja runs the compiler, and the cache
# goes by NAME.pch.sum: what the headers say, and the flags. The definitions of all targets must be
# the same as here, so those that change one of these headers are in walrus_options.
set(precompiled algorithm array atomic charconv chrono cstdint cstring deque expected filesystem
  fstream functional future list map memory mutex optional random set span sstream string
  string_view thread unordered_map utility variant vector fmt/format.h boost/asio/awaitable.hpp)

# walrus_precompile(NAME FLAG HEADERS TARGETS [OPTION...])
function(walrus_precompile name flag headers targets)
  set(folder ${PROJECT_BINARY_DIR}/precompiled)
  list(TRANSFORM headers REPLACE "(.+)" "#include <\\1>")
  list(JOIN headers "\n" text)
  file(CONFIGURE OUTPUT ${folder}/${name}.h CONTENT "${text}\n" @ONLY)
  string(TOUPPER "${CMAKE_BUILD_TYPE}" type)
  separate_arguments(flags NATIVE_COMMAND "${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${type}}")
  get_target_property(options walrus_options INTERFACE_COMPILE_OPTIONS)
  get_target_property(definitions walrus_options INTERFACE_COMPILE_DEFINITIONS)
  list(TRANSFORM definitions PREPEND -D)
  set(compile ${CMAKE_CXX_COMPILER} ${flags} ${CMAKE_CXX23_STANDARD_COMPILE_OPTION} ${flag}
    ${options} ${definitions} -DFMT_SHARED ${ARGN} -x c++-header ${name}.h)
  add_custom_command(OUTPUT ${folder}/${name}.pch
    COMMAND ${compile} -fpch-instantiate-templates -Xclang -fno-pch-timestamp -Xclang -emit-pch
      -MD -MF ${name}.d -MT precompiled/${name}.pch -o ${name}.pch
    COMMAND sh -c "{ echo '${compile}'; \"$@\" -E -dD -P; } | sha256sum >${name}.pch.sum"
      sum ${compile}
    DEPENDS ${folder}/${name}.h DEPFILE ${folder}/${name}.d WORKING_DIRECTORY ${folder} VERBATIM)
  add_custom_target(walrus_${name}_headers DEPENDS ${folder}/${name}.pch)
  foreach(target ${targets})
    add_dependencies(${target} walrus_${name}_headers)
    target_compile_options(${target} PRIVATE
      "$<$<COMPILE_LANGUAGE:CXX>:SHELL:-Xclang -include-pch -Xclang precompiled/${name}.pch>")
  endforeach()
endfunction()

# walrus_targets(TYPE FOLDER OUT): what has sources of its own in a folder and those below it.
function(walrus_targets type folder out)
  get_property(targets DIRECTORY ${folder} PROPERTY BUILDSYSTEM_TARGETS)
  get_property(below DIRECTORY ${folder} PROPERTY SUBDIRECTORIES)
  set(found)
  foreach(target ${targets})
    get_target_property(is ${target} TYPE)
    if(is STREQUAL type AND NOT target MATCHES "^lib")  # those are made of others' objects
      list(APPEND found ${target})
    endif()
  endforeach()
  foreach(inner ${below})
    walrus_targets(${type} ${inner} more)
    list(APPEND found ${more})
  endforeach()
  set(${out} ${found} PARENT_SCOPE)
endfunction()

function(walrus_precompile_all)
  walrus_targets(STATIC_LIBRARY ${PROJECT_SOURCE_DIR} libraries)
  walrus_targets(EXECUTABLE ${PROJECT_SOURCE_DIR} programs)
  walrus_precompile(libraries -fPIC "${precompiled}" "${libraries}")
  if(WALRUS_TESTS)
    list(APPEND precompiled gtest/gtest.h gmock/gmock.h)
    set(gtest -DGTEST_HAS_PTHREAD=1)
  endif()
  walrus_precompile(programs -fPIE "${precompiled}" "${programs}" ${gtest})
endfunction()

if(WALRUS_PCH AND CMAKE_CXX_COMPILER_ID MATCHES Clang AND CMAKE_GENERATOR STREQUAL Ninja)
  cmake_language(DEFER CALL walrus_precompile_all)
endif()
