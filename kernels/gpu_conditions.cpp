#include <dlfcn.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "kernels/gpu_identity.hpp"

namespace mla {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// NVIDIA's management library, which comes with the driver.
class Nvml {
 public:
  Nvml() : library_(::dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL)) {
    started_ = call<int()>("nvmlInit_v2") == 0;
  }
  ~Nvml() {
    if (started_) call<int()>("nvmlShutdown");
    if (library_ != nullptr) ::dlclose(library_);
  }
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  bool started() const noexcept { return started_; }

  // What the function answers; -1 where there is none.
  template <class Signature, class... Arguments>
  int call(const char* name, Arguments... arguments) const {
    void* address = library_ == nullptr ? nullptr : ::dlsym(library_, name);
    return address == nullptr ? -1 : reinterpret_cast<Signature*>(address)(arguments...);
  }

 private:
  void* library_;
  bool started_ = false;
};

Json throttle_reasons(unsigned long long mask) {
  constexpr struct {
    unsigned long long bit;
    const char* words;
  } kReasons[] = {{0x1, "idle"},
                  {0x2, "clocks set by an application"},
                  {0x4, "power cap"},
                  {0x8, "hardware slowdown"},
                  {0x10, "sync boost"},
                  {0x20, "temperature, by software"},
                  {0x40, "temperature, by hardware"},
                  {0x80, "power brake"},
                  {0x100, "display clocks"}};
  Json words = Json::array();
  for (const auto& reason : kReasons) {
    if ((mask & reason.bit) != 0) words.push_back(reason.words);
  }
  return words;
}

Json nvidia_conditions(const std::string& pci_id) {
  using Device = void*;
  constexpr int kSmClock = 1, kMemoryClock = 2, kDie = 0;
  Json json = Json::object();
  const Nvml nvml;
  Device device = nullptr;
  if (!nvml.started() || nvml.call<int(const char*, Device*)>("nvmlDeviceGetHandleByPciBusId_v2",
                                                              pci_id.c_str(), &device) != 0) {
    return json;
  }
  const auto read = [&](const char* key, const char* function, auto... which) {
    unsigned value = 0;
    if (nvml.call<int(Device, decltype(which)..., unsigned*)>(function, device, which..., &value) ==
        0) {
      json[key] = value;
    }
  };
  read("sm_mhz", "nvmlDeviceGetClockInfo", kSmClock);
  read("memory_mhz", "nvmlDeviceGetClockInfo", kMemoryClock);
  read("temperature_c", "nvmlDeviceGetTemperature", kDie);
  read("power_w", "nvmlDeviceGetPowerUsage");
  if (json.contains("power_w")) json["power_w"] = json["power_w"].get<double>() / 1000;
  unsigned long long reasons = 0;
  if (nvml.call<int(Device, unsigned long long*)>("nvmlDeviceGetCurrentClocksThrottleReasons",
                                                  device, &reasons) == 0) {
    json["throttle"] = throttle_reasons(reasons);
  }
  return json;
}

// The amdgpu driver's files. A number in `file`, times `factor`.
void read_number(Json& json, const char* key, const fs::path& file, double factor) {
  std::ifstream stream(file);
  if (double value = 0; stream >> value) json[key] = value * factor;
}

// "1: 2100Mhz *" is the state in force.
void read_clock(Json& json, const char* key, const fs::path& file) {
  std::ifstream stream(file);
  for (std::string line; std::getline(stream, line);) {
    const std::size_t colon = line.find(": ");
    if (line.find('*') == std::string::npos || colon == std::string::npos) continue;
    json[key] = std::atoi(line.c_str() + colon + 2);
  }
}

Json amd_conditions(const std::string& pci_id) {
  Json json = Json::object();
  const fs::path device = fs::path("/sys/bus/pci/devices") / pci_id;
  read_clock(json, "sm_mhz", device / "pp_dpm_sclk");
  read_clock(json, "memory_mhz", device / "pp_dpm_mclk");
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(device / "hwmon", none)) {
    read_number(json, "temperature_c", entry.path() / "temp1_input", 1e-3);
    read_number(json, "power_w", entry.path() / "power1_average", 1e-6);
    if (!json.contains("power_w")) {
      read_number(json, "power_w", entry.path() / "power1_input", 1e-6);
    }
  }
  return json;
}

}  // namespace

std::string gpu_conditions(GpuVendor vendor, const std::string& pci_id) {
  return (vendor == GpuVendor::nvidia ? nvidia_conditions(pci_id) : amd_conditions(pci_id)).dump();
}

}  // namespace mla
