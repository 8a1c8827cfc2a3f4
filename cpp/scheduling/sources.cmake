set(APTP_SOURCES capacity.cpp memory.cpp queue.cpp request_stats.cpp scheduler.cpp)
set(APTP_NEEDS Threads::Threads)
