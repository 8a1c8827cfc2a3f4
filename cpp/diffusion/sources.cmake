set(APTP_SOURCES
    arithmetic.cpp
    noise.cpp
    pixels.cpp
    schedule.cpp
    trajectory.cpp
)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    list(APPEND APTP_SOURCES arithmetic_avx2.cpp)
    set_source_files_properties("${folder}/arithmetic_avx2.cpp" PROPERTIES COMPILE_OPTIONS -mavx2)
endif()
set(APTP_NEEDS aptp_request aptp_bundle)
