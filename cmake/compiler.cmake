# Warnings and hardening of every target of the project, by linking dbk_compiler.
add_library(dbk_compiler INTERFACE)
target_include_directories(dbk_compiler INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_definitions(dbk_compiler INTERFACE _GNU_SOURCE _FILE_OFFSET_BITS=64)
set(warnings -Wall -Wextra -Wconversion -Wshadow -Wundef -Wpointer-arith -Wcast-align
             -Wformat=2 -Wdouble-promotion -Wvla -Wunused-result -Werror)
target_compile_options(dbk_compiler INTERFACE
  ${warnings}
  $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition>
  -fno-strict-aliasing -fstack-protector-strong -fstack-clash-protection -fno-common
  -fvisibility=hidden)
if(CMAKE_BUILD_TYPE MATCHES "Release|RelWithDebInfo" AND NOT DAYBOOK_SANITIZE)
  target_compile_options(dbk_compiler INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()
target_link_options(dbk_compiler INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack)
# Programmer errors stay asserted in release: NDEBUG is never defined.
foreach(language C CXX)
  foreach(type RELEASE RELWITHDEBINFO)
    string(REPLACE "-DNDEBUG" "" CMAKE_${language}_FLAGS_${type} "${CMAKE_${language}_FLAGS_${type}}")
  endforeach()
  string(REPLACE "-O3" "-O2" CMAKE_${language}_FLAGS_RELEASE "${CMAKE_${language}_FLAGS_RELEASE}")
endforeach()
if(DAYBOOK_SANITIZE)
  target_compile_options(dbk_compiler INTERFACE -fsanitize=${DAYBOOK_SANITIZE} -fno-omit-frame-pointer
                         -fno-sanitize-recover=all)
  target_link_options(dbk_compiler INTERFACE -fsanitize=${DAYBOOK_SANITIZE})
endif()
if(DAYBOOK_FUZZ) # what is fuzzed tells the fuzzer where it came
  target_compile_options(dbk_compiler INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(dbk_compiler INTERFACE -fsanitize=fuzzer-no-link)
endif()
# dbk_never (base/never.h) ends the program in all builds for tests but those that count branches.
if(DAYBOOK_COVERAGE)
  option(DAYBOOK_COUNT_NEVER "Count dbk_never as a branch" OFF)
  if(NOT DAYBOOK_COUNT_NEVER)
    target_compile_definitions(dbk_compiler INTERFACE DBK_NEVER_IS_CONSTANT)
  endif()
elseif(CMAKE_BUILD_TYPE STREQUAL Debug OR DAYBOOK_SANITIZE)
  target_compile_definitions(dbk_compiler INTERFACE DBK_NEVER_ABORTS)
endif()
if(DAYBOOK_COVERAGE)
  target_compile_options(dbk_compiler INTERFACE --coverage)
  target_link_options(dbk_compiler INTERFACE --coverage)
endif()
