#include "kernels/mla_error.hpp"

#include <cstdio>
#include <exception>
#include <memory>
#include <new>

#include "kernels/dispatcher.hpp"

namespace mla {
namespace {

constexpr std::size_t kMessageBytes = 2048;

// Of the C API, which has no other place for it. A pointer alone: a library that is opened at run
// time finds little room in the threads there are.
thread_local std::unique_ptr<char[]> message;

// Room for a message; null where there is no memory.
char* message_room() noexcept {
  if (message == nullptr) message.reset(new (std::nothrow) char[kMessageBytes]);
  return message.get();
}

mla_status status_of(ErrorKind kind) noexcept {
  switch (kind) {
    case ErrorKind::usage:
      return MLA_ERROR_USAGE;
    case ErrorKind::database:
      return MLA_ERROR_DATABASE;
    case ErrorKind::device:
      return MLA_ERROR_DEVICE;
    case ErrorKind::system:
      return MLA_ERROR_SYSTEM;
    default:
      return MLA_ERROR_INTERNAL;
  }
}

}  // namespace

mla_status fail(mla_status status, const char* why) noexcept {
  if (char* room = message_room()) std::snprintf(room, kMessageBytes, "%s", why);
  return status;
}

mla_status fail_with(mla_status status, const char* why, long long number) noexcept {
  if (char* room = message_room()) std::snprintf(room, kMessageBytes, why, number);
  return status;
}

mla_status fail_with_exception() noexcept {
  try {
    throw;
  } catch (const ArchError& error) {
    return fail(MLA_ERROR_ARCH, error.what());
  } catch (const Error& error) {
    return fail(status_of(error.kind()), error.what());
  } catch (const std::bad_alloc&) {
    return fail(MLA_ERROR_SYSTEM, "out of memory");
  } catch (const std::exception& error) {
    return fail(MLA_ERROR_INTERNAL, error.what());
  } catch (...) {
    return fail(MLA_ERROR_INTERNAL, "an exception of unknown kind");
  }
}

const char* last_error() noexcept { return message == nullptr ? "" : message.get(); }

}  // namespace mla
