#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mla {

// What travels between CompilePool and mla-compile-helper: each message is a list of byte strings.
// A request begins with a verb, a reply with "ok" or "failed"; a reply "failed" carries what to
// tell the user.
//
//   describe                                      -> library file, runtime version, LLVM version,
//   archs, build ids compile ARCH SOURCE N OPTION*N (NAME TEXT)*   -> code object, compiler's log
//   disassemble ARCH BYTES                        -> one instruction a line
//
// "failed" to compile means that the compiler said so; a helper that cannot answer at all ends
// instead.
using Fields = std::vector<std::string>;

inline std::string pack(const Fields& fields) {
  std::string message;
  for (const std::string& field : fields) {
    const std::uint64_t size = field.size();
    message.append(reinterpret_cast<const char*>(&size), sizeof size);
    message.append(field);
  }
  return message;
}

// Empty for bytes that pack() did not make.
inline std::optional<Fields> unpack(std::string_view message) {
  Fields fields;
  while (!message.empty()) {
    std::uint64_t size = 0;
    if (message.size() < sizeof size) return std::nullopt;
    std::memcpy(&size, message.data(), sizeof size);
    message.remove_prefix(sizeof size);
    if (size > message.size()) return std::nullopt;
    fields.emplace_back(message.substr(0, size));
    message.remove_prefix(size);
  }
  return fields;
}

}  // namespace mla
