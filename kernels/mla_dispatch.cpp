#include "kernels/mla_dispatch_former.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <new>

#include "db/error.hpp"
#include "kernels/dispatch.hpp"

struct mla_dispatch {
  mla::DispatchTable table;
};

namespace mla {
namespace {

// What version 1 of each struct held: a caller that knows less has not set `size`.
constexpr std::size_t kLeastQuery = offsetof(mla_query, extra_format) + sizeof(std::int32_t);
constexpr std::size_t kLeastAnswer = offsetof(mla_answer, reserved) + sizeof(std::uint32_t);

void tell(const char* what, char* message, std::size_t size) noexcept {
  if (message == nullptr || size == 0) return;
  const std::size_t length = std::min(std::strlen(what), size - 1);
  std::memcpy(message, what, length);
  message[length] = '\0';
}

mla_status status_of(ErrorKind kind) noexcept {
  switch (kind) {
    case ErrorKind::usage:
      return MLA_ERROR_USAGE;
    case ErrorKind::database:
      return MLA_ERROR_DATABASE;
    case ErrorKind::system:
      return MLA_ERROR_SYSTEM;
    default:
      return MLA_ERROR_INTERNAL;
  }
}

Query to_query(const mla_query& from) noexcept {
  return {.heads = from.heads,
          .tokens = from.tokens,
          .main_len = from.main_len,
          .extra_len = from.extra_len,
          .main_page = from.main_page,
          .extra_page = from.extra_page,
          .main_format = static_cast<Fp8Format>(from.main_format),
          .extra_format = static_cast<Fp8Format>(from.extra_format)};
}

void copy(const Dim3& from, std::uint32_t (&to)[3]) noexcept {
  to[0] = from.x;
  to[1] = from.y;
  to[2] = from.z;
}

mla_answer from_answer(const Answer& from) noexcept {
  mla_answer to{};
  to.grade = static_cast<std::int32_t>(from.grade);
  to.evidence = from.has_evidence ? static_cast<std::int32_t>(from.evidence) : MLA_EVIDENCE_NONE;
  to.variant = from.variant.empty() ? "" : from.variant.data();
  to.params = from.params.empty() ? "" : from.params.data();
  to.median_us = from.median_us;
  to.workspace_bytes = from.workspace_bytes;
  copy(from.decode_grid, to.decode_grid);
  to.decode_block = from.decode_block;
  copy(from.reduce_grid, to.reduce_grid);
  to.reduce_block = from.reduce_block;
  to.splits = from.splits;
  to.split_main = from.launch.splits.split_main;
  to.split_extra = from.launch.splits.split_extra;
  to.split_map = static_cast<std::int32_t>(from.launch.splits.split_map);
  to.tuned_heads = from.tuned_for.heads;
  to.tuned_tokens = from.tuned_for.tokens;
  to.tuned_main_len = from.tuned_for.main_len;
  to.tuned_extra_len = from.tuned_for.extra_len;
  to.tuned_main_page = from.has_evidence ? from.tuned_for.main_page : 0;
  to.tuned_extra_page = from.has_evidence ? from.tuned_for.extra_page : 0;
  to.decode_dynamic_lds = static_cast<std::uint32_t>(from.decode_dynamic_lds);
  return to;
}

}  // namespace
}  // namespace mla

extern "C" mla_status mla_dispatch_open(const char* database, const char* arch,
                                        mla_dispatch** table, char* message,
                                        std::size_t message_size) {
  mla::tell("", message, message_size);
  if (table != nullptr) *table = nullptr;
  if (database == nullptr || arch == nullptr || table == nullptr) {
    mla::tell("mla_dispatch_open: a pointer is null", message, message_size);
    return MLA_ERROR_USAGE;
  }
  try {
    *table = new mla_dispatch{mla::DispatchTable::load(database, arch)};
    return MLA_OK;
  } catch (const mla::Error& error) {
    mla::tell(error.what(), message, message_size);
    return mla::status_of(error.kind());
  } catch (const std::bad_alloc&) {
    mla::tell("out of memory", message, message_size);
    return MLA_ERROR_SYSTEM;
  } catch (const std::exception& error) {
    mla::tell(error.what(), message, message_size);
  } catch (...) {
    mla::tell("unknown trouble", message, message_size);
  }
  return MLA_ERROR_INTERNAL;
}

extern "C" void mla_dispatch_close(mla_dispatch* table) { delete table; }

extern "C" mla_status mla_dispatch_lookup(const mla_dispatch* table, const mla_query* query,
                                          mla_answer* answer) {
  if (table == nullptr || query == nullptr || answer == nullptr) return MLA_ERROR_USAGE;
  if (query->size < mla::kLeastQuery || answer->size < mla::kLeastAnswer) return MLA_ERROR_USAGE;
  mla_answer found = mla::from_answer(table->table.lookup(mla::to_query(*query)));
  found.size = answer->size;
  // A caller built against a shorter struct gets what it knows; a longer one keeps its own rest.
  std::memcpy(answer, &found, std::min(answer->size, sizeof found));
  return MLA_OK;
}
