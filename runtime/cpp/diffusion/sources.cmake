set(APTP_SOURCES
    noise.cpp
    pixels.cpp
    schedule.cpp
    trajectory.cpp
)
set(APTP_NEEDS aptp_bundle)
