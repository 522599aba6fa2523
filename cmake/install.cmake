# The library in both forms, and what `cmake --install` puts where. The objects are those of the folders'
# own targets; of the shared library only what daybook.h marks DBK_API can be seen.
include(CMakePackageConfigHelpers)

if(TARGET dbk_bus AND TARGET daybook)
  set(folders base log projector store bus)
  set(objects "")
  foreach(folder ${folders})
    list(APPEND objects $<TARGET_OBJECTS:dbk_${folder}>)
  endforeach()
  set(uses PkgConfig::SQLITE3 PkgConfig::SODIUM PkgConfig::XXHASH PkgConfig::SIMDJSON PkgConfig::PCRE2 PkgConfig::UTF8PROC PkgConfig::ZSTD ${NNG_LIBRARY} Threads::Threads)

  add_library(daybook_static STATIC ${objects})
  add_library(daybook_shared SHARED ${objects})
  foreach(library daybook_static daybook_shared)
    set_target_properties(${library} PROPERTIES OUTPUT_NAME daybook LINKER_LANGUAGE CXX)
    target_include_directories(${library} INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/daybook>)
  endforeach()
  target_link_libraries(daybook_shared PRIVATE dbk_compiler ${uses})
  # Plain names: who links the archive needs no file of this project's dependencies but the libraries.
  set(daybook_private_libs sqlite3 sodium xxhash simdjson pcre2-8 utf8proc zstd nng stdc++)
  target_link_libraries(daybook_static INTERFACE "$<INSTALL_INTERFACE:${daybook_private_libs};Threads::Threads>")
  target_link_options(daybook_shared PRIVATE -Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/daybook.map)
  set_target_properties(daybook_shared PROPERTIES
    VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR} EXPORT_NAME daybook
    LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/daybook.map)
  # Whoever builds the program alone can install: `cmake --install` builds nothing.
  add_dependencies(daybook daybook_static daybook_shared)

  # Relative, so that `cmake --install --prefix` and a moved tree stay right.
  foreach(place LIBDIR INCLUDEDIR)
    if(IS_ABSOLUTE "${CMAKE_INSTALL_${place}}")
      message(FATAL_ERROR "CMAKE_INSTALL_${place} has to be relative to the prefix")
    endif()
  endforeach()
  file(RELATIVE_PATH daybook_pc_to_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
  string(REGEX REPLACE "/+$" "" daybook_pc_to_prefix "${daybook_pc_to_prefix}")
  list(JOIN daybook_private_libs " -l" daybook_pc_private)
  configure_file(cmake/daybook.pc.in ${PROJECT_BINARY_DIR}/daybook.pc @ONLY)
  configure_package_config_file(cmake/daybook-config.cmake.in ${PROJECT_BINARY_DIR}/daybook-config.cmake
    INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/daybook)
  write_basic_package_version_file(${PROJECT_BINARY_DIR}/daybook-config-version.cmake
    VERSION ${PROJECT_VERSION} COMPATIBILITY SameMinorVersion)

  install(TARGETS daybook RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(TARGETS daybook_static EXPORT daybook ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(TARGETS daybook_shared EXPORT daybook LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(EXPORT daybook NAMESPACE daybook:: FILE daybook-targets.cmake
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/daybook)
  install(FILES ${PROJECT_BINARY_DIR}/daybook-config.cmake ${PROJECT_BINARY_DIR}/daybook-config-version.cmake
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/daybook)
  install(FILES ${PROJECT_BINARY_DIR}/daybook.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
  # daybook.h names its two companions "base/…": they keep that place beside it.
  install(FILES store/daybook.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/daybook)
  install(FILES base/error.h base/result.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/daybook/base)
  install(FILES docs/man/daybook.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES cli/completion/daybook.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
    RENAME daybook)
endif()
