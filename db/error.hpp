#pragma once

#include <stdexcept>
#include <string>

namespace mla {

// What kind of trouble an Error is; the process's exit code is its value (README.md lists them).
// Never renumbered.
enum class ErrorKind : int {
  internal = 1,     // our own mistake
  usage = 2,        // command line, YAML, anything the user wrote
  database = 3,     // the database cannot be used as asked
  toolchain = 4,    // no compiler, or one that does not know the arch
  device = 5,       // the device asked for is not there or failed
  system = 6,       // disk, memory, processes
  interrupted = 7,  // the user asked to stop; what was done is stored
};

// The project's one exception. The message says what happened, where, and what to do about it; it
// is shown to the user as it stands. Thrown by value, caught where it becomes a verdict and in
// main.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const noexcept { return kind_; }

 private:
  ErrorKind kind_;
};

}  // namespace mla
