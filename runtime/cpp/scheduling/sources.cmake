set(APTP_SOURCES capacity.cpp counts.cpp memory.cpp queue.cpp scheduler.cpp)
set(APTP_NEEDS Threads::Threads)
