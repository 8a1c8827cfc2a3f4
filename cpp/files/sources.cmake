set(APTP_SOURCES ../errors.cpp sha256.cpp strict_json.cpp utf8.cpp verified.cpp)
set(APTP_NEEDS OpenSSL::Crypto nlohmann_json::nlohmann_json)
