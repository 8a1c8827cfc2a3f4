# A room is a folder with one subject. Its sources.cmake sets
#   APTP_SOURCES  its files, tests apart
#   APTP_NEEDS    what it is linked with: other rooms as aptp_<room>, and libraries
# and makes it a static library aptp_<room>; without sources, one of headers alone.
function(aptp_room room)
    set(folder "${CMAKE_CURRENT_SOURCE_DIR}/${room}")
    if(NOT EXISTS "${folder}/sources.cmake")
        return()
    endif()
    set(APTP_SOURCES "")
    set(APTP_NEEDS "")
    include("${folder}/sources.cmake")
    if(NOT APTP_SOURCES)
        add_library(aptp_${room} INTERFACE)
        target_link_libraries(aptp_${room} INTERFACE aptp_settings ${APTP_NEEDS})
        return()
    endif()
    list(TRANSFORM APTP_SOURCES PREPEND "${folder}/")
    add_library(aptp_${room} STATIC ${APTP_SOURCES})
    target_link_libraries(aptp_${room} PUBLIC aptp_settings ${APTP_NEEDS})
endfunction()
