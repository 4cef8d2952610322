#include "tuner/interrupt.hpp"

#include <signal.h>
#include <unistd.h>

#include "db/error.hpp"

namespace mla {
namespace {

volatile sig_atomic_t asked = 0;

extern "C" void ask(int) {
  if (asked != 0) ::_exit(static_cast<int>(ErrorKind::interrupted));
  asked = 1;
}

}  // namespace

void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = ask;
  ::sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

bool interrupted() noexcept { return asked != 0; }

void throw_if_interrupted() {
  if (interrupted()) throw Error(ErrorKind::interrupted, "stopped as asked");
}

}  // namespace mla
