#include "tuner/session.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

namespace mla {

Session new_session(const std::string& command, std::uint64_t seed, const std::string& templates) {
  std::random_device random;
  nlohmann::ordered_json json;
  json["id"] = fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
  char host[256] = {};
  if (::gethostname(host, sizeof host - 1) == 0) json["host"] = host;
  json["cores"] = std::thread::hardware_concurrency();
  double load[3] = {0, 0, 0};
  if (::getloadavg(load, 3) == 3) json["load"] = {load[0], load[1], load[2]};
  std::string governor;
  std::ifstream("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") >> governor;
  if (!governor.empty()) json["governor"] = governor;
  if (!templates.empty()) json["templates"] = templates;
  Session session;
  session.command = command;
  session.version = MLA_VERSION;
  session.seed = seed;
  session.conditions = json.dump();
  return session;
}

}  // namespace mla
