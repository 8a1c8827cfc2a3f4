set(APTP_SOURCES memory.cpp processor.cpp)
