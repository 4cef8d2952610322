// Stands in for mla-compile-helper where no compiler is there: `fake_helper KIND LIBRARY FOLDER`.
// The file LIBRARY says what it is (one "archs gfx950 gfx942" line, or "broken REASON"); the source
// says what becomes of its compilation.

#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#include "kernels/process.hpp"
#include "tuner/helper_protocol.hpp"

namespace {

mla::Fields describe(const std::string& library) {
  std::ifstream file(library);
  if (!file) return {"failed", library + ": cannot open shared object file"};
  std::string line;
  std::getline(file, line);
  if (line.starts_with("broken ")) return {"failed", line.substr(7)};
  std::istringstream words(line);
  std::string archs;
  std::string word;
  words >> word;
  while (words >> word) archs += word + '\n';
  return {"ok", library, "7.2.53211", "22.1.8", archs, "build of " + library};
}

mla::Fields compile(const std::string& source) {
  if (source == "crash") std::abort();
  if (source == "hang") std::this_thread::sleep_for(std::chrono::hours(1));
  if (source == "slow") std::this_thread::sleep_for(std::chrono::milliseconds(300));
  if (source == "wrong") return {"failed", "variant.hip:1:1: error: wrong"};
  return {"ok", "code of " + source + " by " + std::to_string(::getpid()), "a warning"};
}

}  // namespace

int main(int, char** argv) {
  mla::Channel channel = mla::Channel::to_parent();
  std::string message;
  while (channel.receive(message, mla::deadline_in(1e9)) == mla::IoStatus::ok) {
    const mla::Fields request = mla::unpack(message).value();
    const mla::Fields reply = request[0] == "describe" ? describe(argv[2]) : compile(request[2]);
    channel.send(mla::pack(reply), mla::deadline_in(1e9));
  }
}
