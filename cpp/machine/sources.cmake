set(APTP_SOURCES processor.cpp)
