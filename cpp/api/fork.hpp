// A child that was forked from a process that uses the library: no thread of it is in the child, and whatever its
// threads had locked stays locked there. So nothing in the child may touch what is shared.
#pragma once

namespace aptp::api {

// The library is in use from now on: children that are forked later are told so.
void note_use();

// Whether this process was forked after that. Any thread; takes no lock.
bool is_forked_child() noexcept;

// Throws Failure (forked) in such a child.
void refuse_in_forked_child();

}  // namespace aptp::api
