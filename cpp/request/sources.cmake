set(APTP_SOURCES
    settings.cpp
)
set(APTP_NEEDS aptp_bundle)
