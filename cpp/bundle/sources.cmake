set(APTP_SOURCES
    compiled.cpp
    manifest.cpp
    reader.cpp
    references.cpp
    schema.cpp
)
set(APTP_NEEDS aptp_files)
