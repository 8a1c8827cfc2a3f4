set(APTP_SOURCES
    limits.cpp
    options.cpp
    params.cpp
)
set(APTP_NEEDS aptp_text aptp_bundle nlohmann_json::nlohmann_json)
