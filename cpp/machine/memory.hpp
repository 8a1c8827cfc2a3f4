// The memory of this process.
#pragma once

namespace aptp {

// Give what the allocator keeps for later back to the system, where it can: what engines held is large.
void give_memory_back();

}  // namespace aptp
