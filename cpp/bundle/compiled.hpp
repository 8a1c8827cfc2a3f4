// An expert compiled for one kind of machine: what the manifest says of it, and its identity.
//
// Whether this machine is the one it was compiled for is the business of engines/.
#pragma once

#include <string>

#include "bundle/schema.hpp"
#include "files/strict_json.hpp"

namespace aptp::compiled {

// What the entry's `identity` has to be: the SHA-256 of everything that decides what the file computes. `gates` are
// the expert's, which count for a supernet only; `files` lists the model's files.
std::string identity(const CompiledEntry& entry, const ModelEntry& model, const Table<FileEntry>& files,
                     const SupernetGates* gates);

// One entry. Throws Failure (manifest), like all that follow.
CompiledEntry parse(Fields& fields);

// A code.
SupernetGates parse_gates(Fields& fields);

// Refuse entries of one kind for one target, files that are not there, and identities that do not hold.
void check(const ExpertEntry& expert, const Table<FileEntry>& files, const std::string& where);

// Refuse a supernet of some experts only, and gates that cannot be of one network.
void check_supernets(const Table<ExpertEntry>& experts);

}  // namespace aptp::compiled
