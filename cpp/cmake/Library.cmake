# libaptp, its command line, and what find_package(aptp) needs of them.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

if(NOT TARGET aptp_api)
    return()
endif()
# The interface's own object files, for what comes out of an archive is not exported; of the rooms what they need.
add_library(aptp SHARED $<TARGET_OBJECTS:aptp_api>)
add_library(aptp::aptp ALIAS aptp)
set_target_properties(aptp PROPERTIES
    LINKER_LANGUAGE CXX
    VERSION ${PROJECT_VERSION}
    SOVERSION ${PROJECT_VERSION_MAJOR}
    INSTALL_RPATH_USE_LINK_PATH TRUE)
target_link_libraries(aptp PRIVATE aptp_api)
set(exports "${CMAKE_CURRENT_SOURCE_DIR}/api/exports.map")
target_link_options(aptp PRIVATE "-Wl,--version-script=${exports}" -Wl,--gc-sections)
set_target_properties(aptp PROPERTIES LINK_DEPENDS "${exports}")
target_include_directories(aptp INTERFACE
    "$<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include>" "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
target_compile_features(aptp INTERFACE cxx_std_17)

if(EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/generate/sources.cmake")
    include(generate/sources.cmake)
    list(TRANSFORM APTP_SOURCES PREPEND generate/)
    add_executable(aptp-generate ${APTP_SOURCES})
    target_link_libraries(aptp-generate PRIVATE aptp aptp_settings nlohmann_json::nlohmann_json)
    file(RELATIVE_PATH libraries "${CMAKE_INSTALL_FULL_BINDIR}" "${CMAKE_INSTALL_FULL_LIBDIR}")
    set_target_properties(aptp-generate PROPERTIES INSTALL_RPATH "$ORIGIN/${libraries}")
    install(TARGETS aptp-generate)
endif()

install(TARGETS aptp EXPORT aptp)
install(FILES include/aptp.h include/aptp.hpp DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
set(package "${CMAKE_INSTALL_LIBDIR}/cmake/aptp")
install(EXPORT aptp NAMESPACE aptp:: DESTINATION "${package}" FILE aptpConfig.cmake)
write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/aptpConfigVersion.cmake" COMPATIBILITY SameMajorVersion)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/aptpConfigVersion.cmake" DESTINATION "${package}")
