#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "db/bundle.hpp"
#include "db/error.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/dispatch_settings.hpp"
#include "kernels/launch_device.hpp"
#include "kernels/plan_table.hpp"

namespace mla {

// The file, or this version, has no kernels for the arch.
class ArchError : public Error {
 public:
  explicit ArchError(const std::string& message) : Error(ErrorKind::usage, message) {}
};

// What a dispatcher is made of: a bundle, or the winners of a tuning database, which has no code.
struct DispatchSource {
  static DispatchSource open(const std::filesystem::path& path, const DispatchSettings& settings);
  static DispatchSource from_memory(std::string_view bytes, const std::string& name,
                                    const DispatchSettings& settings);

  std::string name;
  std::optional<Bundle> bundle;
  std::filesystem::path database;  // where there is no bundle
};

// What a plan's kernels run on.
struct DispatchTarget {
  // The GPU `ordinal`; with -1 the arch that the settings name, and a device for "host" alone.
  // Throws Error{device}, ArchError, Error{usage}.
  static DispatchTarget find(int ordinal, const DispatchSource& source,
                             const DispatchSettings& settings);

  std::string arch;
  std::string name;                      // of the GPU; empty without one
  std::string release;                   // that runs there; empty where unknown
  std::unique_ptr<LaunchDevice> device;  // null: plans alone
};

// One file's winners for one device, and the plans made of them. The layer under mla_dispatch.h,
// whose contract holds here; this one throws Error where that returns a status.
class Dispatcher {
 public:
  Dispatcher(DispatchSource source, DispatchTarget target, const DispatchSettings& settings);
  ~Dispatcher();
  Dispatcher(const Dispatcher&) = delete;
  Dispatcher& operator=(const Dispatcher&) = delete;

  // Also the handle that callers hold: see PlanTable.
  PlanTable& plans() const noexcept { return *plans_; }

  // Makes the plan where there is none. Throws Error{usage} for a query out of range and for one
  // plan too many, Error{database} or Error{device} where its code cannot be loaded.
  const Plan* plan(const Query& query, bool has_sink, bool wants_lse) {
    const PlanKey key = plan_key(query, has_sink, wants_lse);
    // What is in the table was checked when it came there.
    if (packs(query))
      if (const Plan* known = plans_->find(key)) return known;
    return make_plan(query, key, has_sink, wants_lse);
  }
  // Loads what was not loaded yet.
  void load_all();

  const LaunchDevice* device() const noexcept { return target_.device.get(); }
  const std::string& arch() const noexcept { return target_.arch; }
  const std::string& device_name() const noexcept { return target_.name; }
  const std::string& release() const noexcept { return target_.release; }
  // Whether a release is of another major and minor than the one that runs here.
  bool is_other_release(std::string_view release) const noexcept;
  bool has_code() const noexcept { return source_.bundle.has_value() && device() != nullptr; }
  const DispatchTable& table() const noexcept { return *table_; }
  int loaded() const noexcept { return loaded_.load(std::memory_order_relaxed); }

 private:
  struct Code {
    std::string key;
    std::atomic<void*> function = nullptr;
  };
  struct Codes {
    Code* decode;
    Code* reduce;  // null: none
  };

  WinnerRows take_winners() const;
  void choose_variant(WinnerRows& winners) const;
  void take_codes(const WinnerRows& winners);
  const Codes& codes_of(const Query& query, const Answer& answer) const noexcept;
  void* load(Code* code, int dynamic_lds);
  const Plan* make_plan(const Query& query, const PlanKey& key, bool has_sink, bool wants_lse);
  Answer decide(const Query& query) const noexcept;
  void log_decision(const Plan& plan) const;

  DispatchSource source_;
  DispatchTarget target_;
  DispatchSettings settings_;
  LookupRule rule_;
  std::deque<Code> codes_;
  std::vector<Codes> winner_codes_;    // by Answer::winner
  std::vector<Codes> fallback_codes_;  // by fallback_index()
  std::optional<DispatchTable> table_;
  std::mutex loading_;
  std::atomic<int> loaded_ = 0;
  PlanTable* plans_;
};

}  // namespace mla
