set(APTP_SOURCES png.cpp)
set(APTP_NEEDS aptp_bundle PNG::PNG)
