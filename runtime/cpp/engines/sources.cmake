set(APTP_SOURCES tensor.cpp)
set(APTP_NEEDS aptp_bundle OnnxRuntime::OnnxRuntime)
