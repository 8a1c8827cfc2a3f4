set(APTP_SOURCES png.cpp)
set(APTP_NEEDS aptp_files PNG::PNG)
