set(APTP_SOURCES cgroup.cpp memory.cpp processor.cpp threads.cpp)
