# Engines' libraries as part of the installation, in the folder `engines`, with their licences.

# Install a shared library under the name that programs are linked to.
function(aptp_bundle library)
    file(REAL_PATH "${library}" file)
    execute_process(COMMAND "${CMAKE_READELF}" --dynamic "${file}" OUTPUT_VARIABLE told COMMAND_ERROR_IS_FATAL ANY)
    get_filename_component(name "${library}" NAME)
    if(told MATCHES "SONAME[^[]*\\[([^]]+)\\]")
        set(name "${CMAKE_MATCH_1}")
    endif()
    install(PROGRAMS "${file}" DESTINATION "${engines}" RENAME "${name}")
endfunction()

# Install the licences that are found in these folders.
function(aptp_bundle_licences engine)
    foreach(folder ${ARGN})
        file(GLOB files "${folder}/LICENSE*" "${folder}/ThirdPartyNotices*" "${folder}/*third-party*")
        if(files)
            install(FILES ${files} DESTINATION "${CMAKE_INSTALL_DOCDIR}/${engine}")
            return()
        endif()
    endforeach()
    message(WARNING "no licence of ${engine} was found in ${ARGN}; whoever gives its libraries away has to add it")
endfunction()

aptp_bundle("${OnnxRuntime_LIBRARY}")
file(REAL_PATH "${OnnxRuntime_LIBRARY}" onnxruntime)
get_filename_component(folder "${onnxruntime}" DIRECTORY)
file(GLOB providers "${folder}/libonnxruntime_providers_*.so")
foreach(provider ${providers})
    aptp_bundle("${provider}")
endforeach()
aptp_bundle_licences(onnxruntime "${folder}/.." "${folder}")

if(APTP_WITH_OPENVINO)
    # It opens the plugin for processors and the reader of graphs by name, from the folder that it is in itself.
    get_target_property(openvino openvino::runtime IMPORTED_LOCATION_RELEASE)
    get_filename_component(folder "${openvino}" DIRECTORY)
    file(GLOB parts "${folder}/libopenvino_intel_cpu_plugin.so" "${folder}/libopenvino_arm_cpu_plugin.so"
        "${folder}/libopenvino_onnx_frontend.so.*" "${folder}/libtbb.so.*" "${folder}/libtbbbind*.so.*"
        "${folder}/libtbbmalloc.so.*" "${folder}/libhwloc.so.*")
    foreach(part "${openvino}" ${parts})
        aptp_bundle("${part}")
    endforeach()
    file(GLOB metadata "${folder}/../../openvino-*.dist-info/licenses" "${folder}/../../openvino-*.dist-info")
    aptp_bundle_licences(openvino ${metadata} "${folder}/../../../docs/licensing" "${folder}/../docs/licensing")
endif()
