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

# walrus_precompile(TARGET [HEADER...]): the standard headers that nearly every source reads, and
# those given. Reading them is half of the time that a source takes to compile.
function(walrus_precompile target)
  if(NOT TARGET ${target})
    return()
  endif()
  set(headers)
  foreach(header algorithm atomic chrono cstdint cstring deque expected filesystem functional
      future map memory mutex optional set span string string_view unordered_map utility vector
      ${ARGN})
    list(APPEND headers "$<$<COMPILE_LANGUAGE:CXX>:<${header}$<ANGLE-R>>")
  endforeach()
  target_precompile_headers(${target} PRIVATE ${headers})
  if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
    target_compile_options(${target} PRIVATE
      "$<$<COMPILE_LANGUAGE:CXX>:SHELL:-Xclang -fno-pch-timestamp>")
  endif()
endfunction()

function(walrus_precompile_all)
  foreach(room base io record log net wire service broker frontend client)
    walrus_precompile(walrus_${room} fmt/format.h)
  endforeach()
  foreach(room server cli)
    walrus_precompile(walrus_${room} fmt/format.h CLI/CLI.hpp nlohmann/json.hpp)
  endforeach()
  foreach(room base io record log net wire service broker frontend server client cli)
    walrus_precompile(walrus_${room}_test fmt/format.h gtest/gtest.h gmock/gmock.h)
  endforeach()
  walrus_precompile(walrus_sim_log fmt/format.h)
endfunction()

if(WALRUS_PCH)
  cmake_language(DEFER CALL walrus_precompile_all)
endif()
