set(APTP_SOURCES album.cpp main.cpp options.cpp prompts.cpp ../errors.cpp ../files/utf8.cpp)
