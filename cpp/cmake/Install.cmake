# What an installation holds. It may be moved: no path in it is absolute.
include(CMakePackageConfigHelpers)

option(APTP_BUNDLE_ENGINES "Install ONNX Runtime's libraries, and OpenVINO's where they are used, with the library" OFF)

# Engines that are installed with the library lie in a folder of their own, so that they meet none of the system's.
# Otherwise they come from where the system has them, or from where CMAKE_INSTALL_RPATH says.
set(beside "$ORIGIN")
if(APTP_BUNDLE_ENGINES)
    set(engines "${CMAKE_INSTALL_LIBDIR}/aptp")
    set(beside "$ORIGIN/aptp")
    include(Bundle)
endif()
set_target_properties(aptp PROPERTIES INSTALL_RPATH "${beside};${CMAKE_INSTALL_RPATH}")
file(RELATIVE_PATH libraries "${CMAKE_INSTALL_FULL_BINDIR}" "${CMAKE_INSTALL_FULL_LIBDIR}")
set_target_properties(aptp-generate PROPERTIES INSTALL_RPATH "$ORIGIN/${libraries}")

install(TARGETS aptp-generate)
install(TARGETS aptp EXPORT aptp)
install(FILES include/aptp.h include/aptp.hpp DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(FILES ../LICENSE DESTINATION "${CMAKE_INSTALL_DOCDIR}")

# For find_package(aptp).
set(package "${CMAKE_INSTALL_LIBDIR}/cmake/aptp")
install(EXPORT aptp NAMESPACE aptp:: DESTINATION "${package}" FILE aptpConfig.cmake)
write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/aptpConfigVersion.cmake" COMPATIBILITY SameMajorVersion)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/aptpConfigVersion.cmake" DESTINATION "${package}")

# For pkg-config, which knows where it found the file.
file(RELATIVE_PATH prefix "${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig" "${CMAKE_INSTALL_PREFIX}")
configure_file(cmake/aptp.pc.in aptp.pc @ONLY)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/aptp.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
