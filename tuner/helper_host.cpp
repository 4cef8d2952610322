#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "db/error.hpp"
#include "tuner/helper_rtc.hpp"

namespace mla {
namespace {

void write_file(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file)
    throw Error(ErrorKind::system,
                "cannot write " + path.string() + ": is the disk full? (TMPDIR names another)");
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Stays in this process's group, so that killing the helper's group ends the compiler too.
bool run(std::vector<std::string> command, const std::string& log) {
  std::vector<char*> arguments;
  for (std::string& word : command) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                   0600);
  posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
  pid_t pid = -1;
  const int error = ::posix_spawnp(&pid, arguments[0], &files, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  if (error != 0) throw Error(ErrorKind::toolchain, "cannot start " + command[0]);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status == 0;
}

std::string without(std::string text, const std::string& prefix) {
  for (std::size_t at; (at = text.find(prefix)) != std::string::npos;)
    text.erase(at, prefix.size());
  return text;
}

}  // namespace

Fields compile_for_host(const std::string& compiler, const std::string& folder,
                        const Fields& request) {
  const std::filesystem::path work = std::filesystem::path(folder) / "unit";
  std::filesystem::remove_all(work);
  const std::string source = (work / "variant.cpp").string();
  const std::string object = (work / "variant.so").string();
  const std::string log = (work / "log").string();
  write_file(source, request.at(2));
  const std::size_t count = std::stoul(request.at(3));
  std::vector<std::string> command{compiler};
  for (std::size_t i = 0; i < count; ++i) command.push_back(request.at(4 + i));
  for (std::size_t i = 4 + count; i + 1 < request.size(); i += 2)
    write_file(work / request[i], request[i + 1]);
  command.insert(command.end(), {"-shared", "-fPIC", "-I", work.string(), "-o", object, source});
  const bool ok = run(command, log);
  std::string said = without(read_file(log), work.string() + "/");
  std::string code = ok ? read_file(object) : std::string();
  std::filesystem::remove_all(work);
  if (code.empty()) return {"failed", std::move(said)};
  return {"ok", std::move(code), std::move(said)};
}

}  // namespace mla
