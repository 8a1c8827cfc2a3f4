set(APTP_SOURCES)
set(APTP_NEEDS Threads::Threads)
