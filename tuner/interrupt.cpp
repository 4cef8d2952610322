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

extern "C" void end(int) { ::_exit(static_cast<int>(ErrorKind::interrupted)); }

void handle_with(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  ::sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

}  // namespace

void catch_interrupts() { handle_with(ask); }

void end_on_interrupts() { handle_with(end); }

bool interrupted() noexcept { return asked != 0; }

void throw_if_interrupted() {
  if (interrupted()) throw Error(ErrorKind::interrupted, "stopped as asked");
}

}  // namespace mla
