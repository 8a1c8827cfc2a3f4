set(APTP_SOURCES)
set(APTP_NEEDS aptp_bundle)
