set(APTP_SOURCES
    batch.cpp crew.cpp health.cpp host.cpp job.cpp order.cpp places.cpp request.cpp service.cpp tally.cpp)
set(APTP_NEEDS aptp_scheduling aptp_models aptp_request aptp_diffusion aptp_text Threads::Threads)
