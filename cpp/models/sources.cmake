set(APTP_SOURCES cache.cpp clock.cpp decoder.cpp encoder.cpp entry.cpp experts.cpp models.cpp router_output.cpp router.cpp
    sessions.cpp unpacked.cpp)
set(APTP_NEEDS aptp_machine aptp_engines aptp_request aptp_text aptp_diffusion aptp_bundle)
