#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "db/error.hpp"
#include "db/store.hpp"
#include "kernels/device_host.hpp"
#include "tuner/cache.hpp"
#include "tuner/commands.hpp"
#include "tuner/folders.hpp"
#include "tuner/gpus.hpp"
#include "tuner/toolchain.hpp"

namespace mla {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct Findings {
  Json json;
  Json missing = Json::array();

  void miss(const std::string& what, const std::string& remedy) {
    missing.push_back({{"what", what}, {"remedy", remedy}});
  }
};

Json toolchains_json(const ToolchainList& list) {
  Json all = Json::array();
  for (const FoundToolchain& at : list.usable)
    all.push_back({{"compiler", at.record.compiler},
                   {"release", at.record.release},
                   {"library", at.record.library},
                   {"llvm", at.record.llvm},
                   {"root", at.root},
                   {"origin", at.origin},
                   {"archs", at.archs}});
  return all;
}

// "gfx950" for a KFD node's gfx_target_version 90500; empty for a node that is no GPU.
std::string amd_arch(const fs::path& properties) {
  std::ifstream file(properties);
  for (std::string key, value; file >> key >> value;) {
    if (key != "gfx_target_version") continue;
    const int version = std::atoi(value.c_str());
    if (version == 0) return {};
    return fmt::format("gfx{}{:x}{:x}", version / 10000, version / 100 % 100, version % 100);
  }
  return {};
}

Json device_json(const Device& device) {
  Json json = {{"arch", device.arch}, {"name", device.name}};
  if (device.arch == "host") return json;
  json["compute_units"] = device.compute_units;
  json["memory_bytes"] = device.memory_bytes;
  json["pci_id"] = device.pci_id;
  if (!device.partition.empty()) json["partition"] = device.partition;
  json["driver"] = device.driver;
  json["runtime"] = device.runtime;
  return json;
}

// What the drivers' own files say of GPUs, to tell a GPU without a library from none at all.
std::vector<std::string> gpus_without_library(const char* maker) {
  std::vector<std::string> names;
  std::error_code none;
  if (std::string_view(maker) == "gfx") {
    for (const auto& node : fs::directory_iterator("/sys/class/kfd/kfd/topology/nodes", none))
      if (const std::string arch = amd_arch(node.path() / "properties"); !arch.empty())
        names.push_back("a " + arch + " (KFD node " + node.path().filename().string() + ")");
  } else {
    for (const auto& gpu : fs::directory_iterator("/proc/driver/nvidia/gpus", none))
      names.push_back("an NVIDIA GPU (" + gpu.path().filename().string() + ")");
  }
  return names;
}

void look_for_devices(Findings& found) {
  const std::string worker = companion_program("mla-gpu-worker");
  const ToolchainSearch search = search_from_environment();
  Json devices = Json::array();
  for (const char* maker : {"gfx", "sm_"}) {
    GpuList list;
    try {
      list = find_gpus(maker, search, worker);
    } catch (const Error& error) {
      list.unusable.push_back(error.what());
    }
    for (const GpuAddress& gpu : list.gpus) devices.push_back(device_json(gpu.device));
    if (!list.gpus.empty()) continue;
    for (const std::string& name : gpus_without_library(maker))
      found.miss("a library to run on " + name,
                 list.unusable.empty() ? std::string_view(maker) == "gfx"
                                             ? "install ROCm 6.4 or newer; or set ROCM_PATH"
                                             : "install NVIDIA's driver with its libcuda"
                                       : list.unusable.front());
  }
  const int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  devices.push_back(device_json(host_identity(threads)));
  found.json["devices"] = devices;
}

void look_for_compilers(Findings& found) {
  const ToolchainSearch search = search_from_environment();
  Json unusable = Json::array();
  const auto look = [&](const char* key, const auto& find) {
    try {
      const ToolchainList list = find(search);
      for (const std::string& line : list.unusable) unusable.push_back(line);
      found.json[key] = toolchains_json(list);
      return !list.usable.empty();
    } catch (const Error& error) {
      found.json[key] = Json::array();
      unusable.push_back(error.what());
      return false;
    }
  };
  if (!look("rocm", find_rocm))
    found.miss("hipRTC (ROCm 6.4 or newer), to compile for gfx950 and gfx942",
               "scripts/get_rocm.sh 7.2   (private, no root); or install ROCm; or set ROCM_PATH");
  if (!look("cuda", find_cuda))
    found.miss("NVRTC (CUDA 12 or newer), to compile for sm_90",
               "install CUDA; or set CUDA_PATH to the folder it is in");
  if (!look("cxx", find_host_compiler))
    found.miss("a C++ compiler, to check variants on the CPU", "apt-get install g++; or set CXX");
  found.json["unusable"] = unusable;
}

void look_at_cache(Findings& found) {
  try {
    const Cache cache(default_cache_folder());
    const CacheUse use = cache.use();
    found.json["cache"] = {
        {"folder", cache.folder()}, {"entries", use.entries}, {"bytes", use.bytes}};
  } catch (const Error& error) {
    found.json["cache"] = {{"folder", nullptr}, {"trouble", error.what()}};
    found.miss("a cache folder", error.what());
  }
}

void look_at_database(const fs::path& db, Findings& found) {
  Json& json = found.json["database"];
  json = {{"path", db.string()}};
  std::error_code ignored;
  json["exists"] = fs::exists(db, ignored);
  if (!json["exists"]) {
    found.miss("results: there is no database yet", "mla-tune --arch gfx950");
    return;
  }
  try {
    const StoreStats stats = Store::open(db, StoreMode::read_only).stats();
    json["format"] = stats.format;
    json["bytes"] = stats.bytes;
  } catch (const Error& error) {
    json["trouble"] = error.what();
    found.miss("a database that can be read", error.what());
  }
}

void print_toolchains(const char* title, const Json& list) {
  fmt::print("{}\n", title);
  for (const Json& at : list)
    fmt::print("  {} {} ({}{}) in {}: {}\n", at["compiler"].get<std::string>(),
               at["release"].get<std::string>(), at["library"].get<std::string>(),
               at["llvm"].get_ref<const std::string&>().empty()
                   ? ""
                   : ", LLVM " + at["llvm"].get<std::string>(),
               at["root"].get<std::string>(), at["origin"].get<std::string>());
  if (list.empty()) fmt::print("  none\n");
}

// What a GPU has besides its name.
std::string in_words(const Json& device) {
  if (!device.contains("pci_id")) return {};
  return fmt::format(
      " at {}: {} CUs, {:.0f} GB, driver {}, {}{}", device["pci_id"].get<std::string>(),
      device["compute_units"].get<int>(), device["memory_bytes"].get<double>() / 1e9,
      device["driver"].get<std::string>(), device["runtime"].get<std::string>(),
      device.contains("partition") ? ", partition " + device["partition"].get<std::string>() : "");
}

void print(const Json& json) {
  print_toolchains("ROCm", json["rocm"]);
  print_toolchains("CUDA", json["cuda"]);
  print_toolchains("C++", json["cxx"]);
  for (const Json& line : json["unusable"]) fmt::print("not usable: {}\n", line.get<std::string>());
  fmt::print("devices\n");
  for (const Json& device : json["devices"])
    fmt::print("  {:<8} {}{}\n", device["arch"].get<std::string>(),
               device["name"].get<std::string>(), in_words(device));
  const Json& cache = json["cache"];
  if (cache["folder"].is_string())
    fmt::print("cache\n  {}: {} entries, {:.1f} MB\n", cache["folder"].get<std::string>(),
               cache["entries"].get<std::uint64_t>(), cache["bytes"].get<double>() / 1e6);
  const Json& db = json["database"];
  fmt::print("database\n  {}: {}\n", db["path"].get<std::string>(),
             !db["exists"].get<bool>() ? std::string("does not exist")
             : db.contains("trouble")  ? db["trouble"].get<std::string>()
                                      : fmt::format("format {}, {:.1f} MB", db["format"].get<int>(),
                                                    db["bytes"].get<double>() / 1e6));
  for (const Json& miss : json["missing"])
    fmt::print("missing: {}\n  {}\n", miss["what"].get<std::string>(),
               miss["remedy"].get<std::string>());
  if (json["missing"].empty()) fmt::print("nothing is missing\n");
}

}  // namespace

int doctor_command(const fs::path& db, bool json) {
  Findings found;
  found.json["version"] = MLA_VERSION;
  look_for_compilers(found);
  look_for_devices(found);
  look_at_cache(found);
  look_at_database(db, found);
  found.json["missing"] = found.missing;
  if (json) {
    fmt::print("{}\n", found.json.dump(2));
  } else {
    print(found.json);
  }
  return 0;
}

}  // namespace mla
