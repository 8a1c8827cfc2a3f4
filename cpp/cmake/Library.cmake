# libaptp, and its command line.
include(GNUInstallDirs)

if(NOT TARGET aptp_api)
    return()
endif()
# The interface's own object files, for what comes out of an archive is not exported; of the rooms what they need.
add_library(aptp SHARED $<TARGET_OBJECTS:aptp_api>)
add_library(aptp::aptp ALIAS aptp)
# The library's file name ends in the number that is raised when programs would break, and then the version.
file(STRINGS include/aptp.h line REGEX "^#define APTP_ABI ")
string(REGEX REPLACE "[^0-9]+" "" abi "${line}")
set_target_properties(aptp PROPERTIES
    LINKER_LANGUAGE CXX
    VERSION ${abi}.${PROJECT_VERSION}
    SOVERSION ${abi})
target_link_libraries(aptp PRIVATE aptp_api)
set(exports "${CMAKE_CURRENT_SOURCE_DIR}/api/exports.map")
target_link_options(aptp PRIVATE "-Wl,--version-script=${exports}" -Wl,--gc-sections)
# It stays in a process that has loaded it: its threads and what it does at the end need its code.
target_link_options(aptp PRIVATE -Wl,-z,nodelete)
set_target_properties(aptp PROPERTIES LINK_DEPENDS "${exports}")
target_include_directories(aptp INTERFACE
    "$<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include>" "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
target_compile_features(aptp INTERFACE cxx_std_17)

find_package(CLI11 REQUIRED)
include(generate/sources.cmake)
list(TRANSFORM APTP_SOURCES PREPEND generate/)
add_executable(aptp-generate ${APTP_SOURCES})
target_link_libraries(aptp-generate PRIVATE aptp aptp_settings nlohmann_json::nlohmann_json CLI11::CLI11)

include(Install)
include(Package)
