#pragma once

#include <string>
#include <vector>

#include "tuner/helper_protocol.hpp"

namespace mla {

// hipRTC or NVRTC inside this process. They have one interface under two sets of names.
class RuntimeCompiler {
 public:
  // kind: "hiprtc" or "nvrtc"; library: a path, or a name for the loader. Throws Error{toolchain}
  // with the loader's words.
  RuntimeCompiler(const std::string& kind, const std::string& library);

  // Replies as helper_protocol.hpp says.
  Fields describe();
  Fields compile(const Fields& request);
  Fields disassemble(const Fields& request);

 private:
  struct Compiled {
    bool ok = false;
    std::string code;
    std::string log;
  };
  void* symbol(void* library, const std::string& name) const;
  Compiled compile(const std::string& source, const std::vector<std::string>& options,
                   const std::vector<const char*>& names, const std::vector<const char*>& texts);
  std::vector<std::string> archs() const;
  std::string runtime_version() const;
  std::string llvm_version();

  bool amd_;
  std::string path_;  // of the library as loaded, links resolved
  void* library_ = nullptr;
  void* comgr_ = nullptr;  // AMD's code object manager: null with NVRTC
};

// The system's C++ compiler, run in `folder`, whose files it overwrites. The reply's code is a
// shared object.
Fields compile_for_host(const std::string& compiler, const std::string& folder,
                        const Fields& request);

}  // namespace mla
