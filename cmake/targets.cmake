# dbk_folder(NAME SOURCES... LINKS...): one folder of the house as a static library target dbk_NAME.
function(dbk_folder name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINKS;PRIVATE_LINKS" ${ARGN})
  add_library(dbk_${name} STATIC ${arg_SOURCES})
  target_link_libraries(dbk_${name} PUBLIC dbk_compiler ${arg_LINKS} PRIVATE ${arg_PRIVATE_LINKS})
endfunction()

# All tests of label "concurrent": what a build with TSan is for.
add_custom_target(concurrent)

# dbk_test(NAME SOURCES... FOLDERS... [LABELS...] [TIMEOUT seconds]): a cmocka test program.
# FOLDERS name the folders whose objects it needs, in any order, e.g. FOLDERS base log.
function(dbk_test name)
  cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;FOLDERS;LINKS;LABELS;ARGS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE dbk_compiler PkgConfig::CMOCKA ${arg_LINKS})
  foreach(folder ${arg_FOLDERS})
    target_link_libraries(${name} PRIVATE dbk_${folder})
  endforeach()
  add_test(NAME ${name} COMMAND ${name} ${arg_ARGS})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  if(DAYBOOK_COVERAGE)
    math(EXPR arg_TIMEOUT "5 * ${arg_TIMEOUT}") # counting, without optimization
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS "${arg_LABELS}")
  if("concurrent" IN_LIST arg_LABELS)
    add_dependencies(concurrent ${name})
  endif()
endfunction()

# dbk_fuzz(NAME SOURCES... FOLDERS...): a libFuzzer target; without DAYBOOK_FUZZ the same source is
# built with tests/support/fuzz_replay.c into a test that runs the checked-in corpus tests/corpus/NAME.
function(dbk_fuzz name)
  cmake_parse_arguments(arg "" "" "SOURCES;FOLDERS;LINKS" ${ARGN})
  if(DAYBOOK_FUZZ)
    add_executable(${name} ${arg_SOURCES})
    target_compile_options(${name} PRIVATE -fsanitize=fuzzer)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  else()
    add_executable(${name} ${arg_SOURCES} ${PROJECT_SOURCE_DIR}/tests/support/fuzz_replay.c)
    add_test(NAME ${name} COMMAND ${name} ${PROJECT_SOURCE_DIR}/tests/corpus/${name})
    set_tests_properties(${name} PROPERTIES TIMEOUT 120 LABELS fuzz)
  endif()
  target_link_libraries(${name} PRIVATE dbk_compiler ${arg_LINKS})
  foreach(folder ${arg_FOLDERS})
    target_link_libraries(${name} PRIVATE dbk_${folder})
  endforeach()
endfunction()
