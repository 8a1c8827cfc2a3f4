set(APTP_SOURCES choice.cpp compiled.cpp environment.cpp nvidia.cpp providers.cpp session.cpp target.cpp tensor.cpp)
set(APTP_NEEDS aptp_bundle OnnxRuntime::OnnxRuntime ${CMAKE_DL_LIBS})
