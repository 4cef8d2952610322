#pragma once

namespace mla {

// From now on Ctrl-C and SIGTERM ask for an end instead of making one; a second one ends the
// process at once with ErrorKind::interrupted as its exit code.
void catch_interrupts();

// From now on Ctrl-C and SIGTERM end the process at once with that exit code: for what stores
// nothing.
void end_on_interrupts();

// Whether an end was asked for.
bool interrupted() noexcept;

// Throws Error{interrupted} where it was.
void throw_if_interrupted();

}  // namespace mla
