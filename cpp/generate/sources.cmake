set(APTP_SOURCES album.cpp main.cpp options.cpp prompts.cpp)
