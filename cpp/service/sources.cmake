set(APTP_SOURCES
    batch.cpp denoising.cpp dispatcher.cpp engine_keys.cpp executor.cpp health.cpp mailbox.cpp request.cpp runtime_core.cpp
    supervised_thread.cpp supervisor.cpp work_stats.cpp)
set(APTP_NEEDS aptp_scheduling aptp_models aptp_request aptp_diffusion aptp_text aptp_machine Threads::Threads)
