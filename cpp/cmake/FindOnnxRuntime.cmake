# ONNX Runtime's headers and library: below ONNXRUNTIME_ROOT, or where the system has them.
find_path(OnnxRuntime_INCLUDE onnxruntime_cxx_api.h
    HINTS "${ONNXRUNTIME_ROOT}" PATH_SUFFIXES include include/onnxruntime include/onnxruntime/core/session onnxruntime)
find_library(OnnxRuntime_LIBRARY onnxruntime HINTS "${ONNXRUNTIME_ROOT}" PATH_SUFFIXES lib lib64)
if(OnnxRuntime_INCLUDE)
    file(STRINGS "${OnnxRuntime_INCLUDE}/onnxruntime_c_api.h" line REGEX "^#define ORT_API_VERSION")
    string(REGEX REPLACE "[^0-9]+" "" minor "${line}")
    set(OnnxRuntime_VERSION "1.${minor}")
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(OnnxRuntime
    REQUIRED_VARS OnnxRuntime_LIBRARY OnnxRuntime_INCLUDE
    VERSION_VAR OnnxRuntime_VERSION
    REASON_FAILURE_MESSAGE "give a release as -DONNXRUNTIME_ROOT=FOLDER, or on Debian what onnxruntime.sh makes")
if(OnnxRuntime_FOUND AND NOT TARGET OnnxRuntime::OnnxRuntime)
    if(OnnxRuntime_VERSION VERSION_LESS 1.23)
        message(FATAL_ERROR "ONNX Runtime ${OnnxRuntime_VERSION} has no provider plugins by path: take 1.23 or newer")
    endif()
    add_library(OnnxRuntime::OnnxRuntime SHARED IMPORTED)
    set_target_properties(OnnxRuntime::OnnxRuntime PROPERTIES
        IMPORTED_LOCATION "${OnnxRuntime_LIBRARY}"
        INTERFACE_INCLUDE_DIRECTORIES "${OnnxRuntime_INCLUDE}")
endif()
mark_as_advanced(OnnxRuntime_INCLUDE OnnxRuntime_LIBRARY)
