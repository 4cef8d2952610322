// Where a dispatcher's winners come from and what it launches on.

#include <fmt/format.h>

#include <algorithm>

#include "kernels/dispatcher.hpp"
#include "kernels/gpu_driver.hpp"
#include "kernels/launch_gpu.hpp"
#include "kernels/launch_host.hpp"

namespace mla {
namespace {

BundleOptions bundle_options(const DispatchSettings& settings) {
  return {.allow_untrusted = settings.allow_untrusted, .public_key = settings.public_key};
}

// "sm_" or "gfx" where all of a bundle's GPUs are of one maker.
std::string_view maker_of(const DispatchSource& source) {
  if (!source.bundle) return {};
  bool amd = false, nvidia = false;
  for (const std::string& arch : source.bundle->archs()) {
    amd |= arch.starts_with("gfx");
    nvidia |= arch.starts_with("sm_");
  }
  if (amd == nvidia) return {};
  return amd ? "gfx" : "sm_";
}

}  // namespace

DispatchSource DispatchSource::open(const std::filesystem::path& path,
                                    const DispatchSettings& settings) {
  DispatchSource source;
  source.name = path.string();
  std::error_code unknown;
  if (!std::filesystem::exists(path, unknown) && !unknown)
    throw Error(
        ErrorKind::database,
        fmt::format("{} does not exist: name what `mla-tune export --out` wrote, or a tuning "
                    "database to look at its plans",
                    source.name));
  if (is_bundle(path)) {
    source.bundle = Bundle::open(path, bundle_options(settings));
  } else {
    source.database = path;
  }
  return source;
}

DispatchSource DispatchSource::from_memory(std::string_view bytes, const std::string& name,
                                           const DispatchSettings& settings) {
  DispatchSource source;
  source.name = name;
  source.bundle = Bundle::from_memory(bytes, name, bundle_options(settings));
  return source;
}

DispatchTarget DispatchTarget::find(int ordinal, const DispatchSource& source,
                                    const DispatchSettings& settings) {
  DispatchTarget target;
  target.release = settings.release;
  if (ordinal < -1)
    throw Error(ErrorKind::usage,
                fmt::format("device: {}; give an ordinal from 0, or MLA_DEVICE_NONE", ordinal));
  if (ordinal == -1) {
    if (settings.arch.empty())
      throw Error(ErrorKind::usage, "MLA_DEVICE_NONE says no arch: name one in the options");
    target.arch = settings.arch;
    if (target.arch == "host") target.device = std::make_unique<HostLaunchDevice>();
  } else {
    const std::string_view maker =
        settings.arch.empty() ? maker_of(source) : std::string_view(settings.arch);
    auto gpu = std::make_unique<GpuLaunchDevice>(open_gpu_driver(maker, settings.driver), ordinal);
    target.arch = gpu->arch();
    target.name = gpu->name();
    if (target.release.empty()) target.release = gpu->release();
    target.device = std::move(gpu);
    if (!settings.arch.empty() && settings.arch != target.arch)
      throw ArchError(fmt::format("device {} ({}) is {}, and the options ask for {}", ordinal,
                                  target.name, target.arch, settings.arch));
  }
  if (!is_dispatch_arch(target.arch))
    throw ArchError(
        fmt::format("there are no kernels for arch '{}': there are for gfx950, gfx942, "
                    "sm_90 and host",
                    target.arch));
  if (source.bundle) {
    const std::vector<std::string> archs = source.bundle->archs();
    if (std::ranges::find(archs, target.arch) == archs.end())
      throw ArchError(
          fmt::format("{} holds kernels for {}, not for {}: tune for it and export "
                      "again with `mla-tune export --arch {}`",
                      source.name, fmt::join(archs, ", "), target.arch, target.arch));
  }
  return target;
}

}  // namespace mla
