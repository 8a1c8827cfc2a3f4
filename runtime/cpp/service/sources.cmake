set(APTP_SOURCES)
set(APTP_NEEDS aptp_scheduling aptp_models aptp_request aptp_diffusion aptp_text Threads::Threads)
