#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "kernels/process.hpp"
#include "tuner/compile.hpp"
#include "tuner/helper_protocol.hpp"

namespace mla {

// One helper process, started when it is first needed and again after it died. Used by one thread;
// stop() by any.
class CompileWorker {
 public:
  // folder: for the helper's temporary files; it need not exist and is removed with the worker.
  CompileWorker(const FoundToolchain& toolchain, std::string folder);
  ~CompileWorker();
  CompileWorker(const CompileWorker&) = delete;
  CompileWorker& operator=(const CompileWorker&) = delete;

  // Compiles and counts instructions. Never throws for what the compiler does. The cache is not its
  // business.
  CompileResult compile(const CompileJob& job);
  // The instructions of `code`; nullopt where the helper cannot tell.
  std::optional<std::string> disassemble(const std::string& arch, std::string_view code,
                                         Deadline deadline);

  // Kills the helper and starts no other, so that compile() returns soon.
  void stop();

 private:
  struct Reply {
    IoStatus status = IoStatus::closed;
    Fields fields;
    std::string death;  // how the helper ended, where it did
  };
  Reply ask(const Fields& request, Deadline deadline);
  std::string end_helper();

  const FoundToolchain& toolchain_;
  std::string folder_;
  std::mutex mutex_;  // guards the life of helper_, not its use: stop() must not signal a process
                      // id that was reused
  std::optional<ChildProcess> helper_;
  bool stopped_ = false;
};

}  // namespace mla
