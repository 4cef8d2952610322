// mla-compile-helper KIND COMPILER FOLDER
//
// One compiler in a process of its own: it may crash, hang, or need another C library than the
// tuner's. Started by CompilePool and by the toolchain search; answers one request at a time
// (helper_protocol.hpp) until its parent is gone. FOLDER is its own for temporary files; it is
// removed at the end.

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <memory>
#include <thread>

#include "db/error.hpp"
#include "kernels/channel.hpp"
#include "tuner/helper_rtc.hpp"

namespace {

constexpr double kForEver = 1e9;

void remove_folder(const std::string& folder) {
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
}

// A compiler at work cannot notice that the parent is gone; this thread does, and takes its
// children along.
void end_when_alone(int channel, const std::string& folder) {
  std::thread([channel, folder] {
    pollfd waiting{channel, POLLRDHUP, 0};
    while (::poll(&waiting, 1, -1) < 0) {
    }
    remove_folder(folder);
    ::rmdir(std::filesystem::path(folder)
                .parent_path()
                .c_str());  // the pool's: the last helper to go succeeds
    ::kill(0, SIGKILL);
  }).detach();
}

mla::Fields answer(const std::string& kind, const std::string& compiler, const std::string& folder,
                   std::unique_ptr<mla::RuntimeCompiler>& loaded, const mla::Fields& request) try {
  const std::string& verb = request.at(0);
  if (kind == "c++" && verb == "compile") return mla::compile_for_host(compiler, folder, request);
  if (!loaded) loaded = std::make_unique<mla::RuntimeCompiler>(kind, compiler);
  if (verb == "describe") return loaded->describe();
  if (verb == "compile") return loaded->compile(request);
  if (verb == "disassemble") return loaded->disassemble(request);
  return {"failed", "unknown request " + verb};
} catch (const mla::Error& error) {
  return {"failed", error.what()};
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 4) {
    std::fputs("mla-compile-helper is started by mla-tune, not by hand\n", stderr);
    return 2;
  }
  const std::string kind = argv[1];
  const std::string compiler = argv[2];
  const std::string folder = argv[3];
  mla::Channel channel = mla::Channel::to_parent();
  ::setenv("AMD_COMGR_CACHE", "0",
           1);  // the project has its own cache, and compile times are measured
  ::setenv("TMPDIR", folder.c_str(), 1);
  std::filesystem::create_directories(folder);
  std::filesystem::permissions(folder, std::filesystem::perms::owner_all);
  end_when_alone(channel.fd(), folder);

  std::unique_ptr<mla::RuntimeCompiler> loaded;
  std::string message;
  while (channel.receive(message, mla::deadline_in(kForEver)) == mla::IoStatus::ok) {
    const auto request = mla::unpack(message);
    if (!request) break;
    const std::string reply = mla::pack(answer(kind, compiler, folder, loaded, *request));
    if (channel.send(reply, mla::deadline_in(kForEver)) != mla::IoStatus::ok) break;
  }
  remove_folder(folder);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "mla-compile-helper: %s\n", error.what());
  return 1;
}
