// Structs that begin with their size, between programs and libraries of different ages.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>

#include "aptp.h"
#include "errors.hpp"

namespace aptp::api {

// The size that a struct had when it first appeared, up to the member that was its last: programs have no smaller ones.
// A struct may grow without a change here.
template <typename Struct>
constexpr std::size_t first_size = 0;
template <>
inline constexpr std::size_t first_size<aptp_open_options> =
    offsetof(aptp_open_options, user) + sizeof(aptp_open_options::user);
template <>
inline constexpr std::size_t first_size<aptp_request_options> =
    offsetof(aptp_request_options, user) + sizeof(aptp_request_options::user);
template <>
inline constexpr std::size_t first_size<aptp_progress> = offsetof(aptp_progress, total) + sizeof(aptp_progress::total);
template <>
inline constexpr std::size_t first_size<aptp_image> =
    offsetof(aptp_image, milliseconds) + sizeof(aptp_image::milliseconds);
template <>
inline constexpr std::size_t first_size<aptp_route> = offsetof(aptp_route, distance) + sizeof(aptp_route::distance);
template <>
inline constexpr std::size_t first_size<aptp_bundle_info> =
    offsetof(aptp_bundle_info, latents_scale) + sizeof(aptp_bundle_info::latents_scale);
template <>
inline constexpr std::size_t first_size<aptp_runtime_status> =
    offsetof(aptp_runtime_status, last_call) + sizeof(aptp_runtime_status::last_call);
template <>
inline constexpr std::size_t first_size<aptp_expert_status> =
    offsetof(aptp_expert_status, seconds) + sizeof(aptp_expert_status::seconds);
template <>
inline constexpr std::size_t first_size<aptp_engine_info> =
    offsetof(aptp_engine_info, missing) + sizeof(aptp_engine_info::missing);
template <>
inline constexpr std::size_t first_size<aptp_solver_info> =
    offsetof(aptp_solver_info, count) + sizeof(aptp_solver_info::count);

template <typename Struct>
void check_size(const Struct& given, const char* name) {
    static_assert(first_size<Struct> != 0, "say above which member was the struct's last when it first appeared");
    if (given.size < first_size<Struct>) {
        throw Failure(Status::usage, std::string(name) + ": its size is " + std::to_string(given.size) +
                                         ", not at least " + std::to_string(first_size<Struct>) +
                                         "; begin with its APTP_..._INIT");
    }
}

// What a caller gave, members that it does not know filled in from `value`. Throws Failure (usage).
template <typename Struct>
Struct read(const Struct* given, Struct value, const char* name) {
    if (given == nullptr) return value;
    check_size(*given, name);
    const auto* bytes = reinterpret_cast<const unsigned char*>(given);
    const bool is_known = std::all_of(bytes + std::min(given->size, sizeof(Struct)), bytes + given->size,
                                      [](unsigned char byte) { return byte == 0; });
    if (!is_known) {
        throw Failure(Status::usage, std::string(name) + ": asks for what this library, " + aptp_version() +
                                         ", does not know yet; use a newer one, or leave that out");
    }
    std::memcpy(&value, given, std::min(given->size, sizeof(Struct)));
    return value;
}

// Tell a caller as much as it knows of. Throws Failure (usage).
template <typename Struct>
void write(Struct* out, Struct value, const char* name) {
    if (out == nullptr) throw Failure(Status::usage, std::string(name) + ": NULL was given");
    check_size(*out, name);
    value.size = out->size;
    std::memcpy(out, &value, std::min(out->size, sizeof(Struct)));
}

}  // namespace aptp::api
