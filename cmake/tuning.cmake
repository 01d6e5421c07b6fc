# Faster builds with what is installed: a compiler cache, a quick linker, precompiled headers.
# None changes what is built. -DWALRUS_TUNING=OFF builds with the plain tools.
option(WALRUS_TUNING "Use ccache, lld or mold, and precompiled headers" ON)
set(precompile ${WALRUS_TUNING})
if(CMAKE_CXX_COMPILER_LAUNCHER)
  # Somebody's own cache, which may not know how to cache a precompiled header.
  set(precompile OFF)
endif()
option(WALRUS_PCH "Precompile the standard library's and the big libraries' headers"
  ${precompile})

if(WALRUS_TUNING)
  find_program(WALRUS_CCACHE ccache)
  if(WALRUS_CCACHE)
    # What the cache has to overlook where headers are precompiled; see ccache(1).
    set(launcher ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
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
# clang shares nothing between -fPIC and -fPIE. The first target of each kind owns them: a program
# that is linked early, since the others wait for it.
set(precompiled algorithm array atomic charconv chrono cstdint cstring deque expected filesystem
  fstream functional future list map memory mutex optional random set span sstream string
  string_view thread unordered_map utility variant vector fmt/format.h)

function(walrus_precompile headers targets)
  list(TRANSFORM headers REPLACE "(.+)" "$<$<COMPILE_LANGUAGE:CXX>:<\\1$<ANGLE-R>>")
  foreach(target ${targets})
    if(owner)
      target_precompile_headers(${target} REUSE_FROM ${owner})
    else()
      set(owner ${target})
      target_precompile_headers(${target} PRIVATE ${headers})
    endif()
    if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
      target_compile_options(${target} PRIVATE
        "$<$<COMPILE_LANGUAGE:CXX>:SHELL:-Xclang -fno-pch-timestamp>")
    endif()
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
  foreach(early walrus_fuzzer walrus_base_test)
    if(TARGET ${early})
      list(REMOVE_ITEM programs ${early})
      list(PREPEND programs ${early})
    endif()
  endforeach()
  walrus_precompile("${precompiled}" "${libraries}")
  if(WALRUS_TESTS)
    list(APPEND precompiled gtest/gtest.h gmock/gmock.h)
  endif()
  walrus_precompile("${precompiled}" "${programs}")
endfunction()

if(WALRUS_PCH)
  cmake_language(DEFER CALL walrus_precompile_all)
endif()
