# The sources of this room, for the CMakeLists above.
set(APTP_DIFFUSION_SOURCES
)
