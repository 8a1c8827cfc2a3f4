set(APTP_SOURCES capabilities.cpp describe.cpp fork.cpp guard.cpp handles.cpp pending.cpp request.cpp runtime.cpp version.cpp)
set(APTP_NEEDS aptp_service aptp_models aptp_images nlohmann_json::nlohmann_json Threads::Threads)
set_source_files_properties("${folder}/version.cpp" PROPERTIES
    COMPILE_DEFINITIONS "APTP_VERSION=\"${PROJECT_VERSION}\"")
