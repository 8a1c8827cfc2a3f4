set(APTP_SOURCES
    characters.cpp
    pair_encoding.cpp
    prompt.cpp
    tokenizer.cpp
    tokenizer_file.cpp
    words.cpp
)
set(APTP_NEEDS aptp_bundle)
