set(APTP_SOURCES ../errors.cpp cache_folder.cpp lock.cpp sha256.cpp strict_json.cpp utf8.cpp verified.cpp)
set(APTP_NEEDS OpenSSL::Crypto nlohmann_json::nlohmann_json)
