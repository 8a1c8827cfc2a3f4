set(APTP_SOURCES route.cpp)
set(APTP_NEEDS aptp_engines aptp_bundle aptp_text aptp_diffusion)
