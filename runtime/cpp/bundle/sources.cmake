set(APTP_SOURCES
    ../errors.cpp
    ../utf8.cpp
    bundle.cpp
    compiled.cpp
    document.cpp
    files.cpp
    manifest.cpp
    references.cpp
    schema.cpp
    sha256.cpp
)
set(APTP_NEEDS OpenSSL::Crypto nlohmann_json::nlohmann_json)
