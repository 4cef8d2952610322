// mla-gpu-worker amd|nvidia LIBRARY: runs kernels on one GPU, because they may hang it or take the
// process along. Started by device_gpu; answers one request at a time until its parent is gone.

#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>

#include "db/error.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/gpu_identity.hpp"
#include "kernels/gpu_timing.hpp"
#include "kernels/host_job.hpp"
#include "kernels/launch_arguments.hpp"
#include "kernels/process.hpp"

namespace mla {
namespace {

constexpr double kForEver = 1e9;

using Request = GpuMessage<GpuRequest>;
using Reply = GpuMessage<GpuReply>;

std::string describe(const GpuApi& api) {
  nlohmann::json all = nlohmann::json::array();
  for (const GpuDescription& gpu : describe_gpus(api)) {
    const Device& d = gpu.device;
    all.push_back({{"ordinal", gpu.ordinal},
                   {"arch", d.arch},
                   {"name", d.name},
                   {"compute_units", d.compute_units},
                   {"memory_bytes", d.memory_bytes},
                   {"clock_mhz", d.clock_mhz},
                   {"pci_id", d.pci_id},
                   {"partition", d.partition},
                   {"driver", d.driver},
                   {"runtime", d.runtime}});
  }
  return all.dump();
}

// Where the job's buffers lie on the device.
template <class T>
T* place_of(const GpuMemory& memory, const HostJob& job, Buffer which) {
  const Region& region = job.buffers[static_cast<std::size_t>(which)];
  if (!region.present()) return nullptr;
  return memory.as<T>(static_cast<std::size_t>(region.offset) + region.front());
}

void set_pointers(HostJob& job, const GpuMemory& memory) {
  DecodeArgs& decode = job.decode_args;
  decode.q = place_of<void>(memory, job, Buffer::q);
  decode.main.cache = place_of<unsigned char>(memory, job, Buffer::main_cache);
  decode.main.indices = place_of<int>(memory, job, Buffer::main_indices);
  decode.main.indptr = place_of<int>(memory, job, Buffer::main_indptr);
  decode.extra.cache = place_of<unsigned char>(memory, job, Buffer::extra_cache);
  decode.extra.indices = place_of<int>(memory, job, Buffer::extra_indices);
  decode.extra.indptr = place_of<int>(memory, job, Buffer::extra_indptr);
  decode.sink = place_of<float>(memory, job, Buffer::sink);
  decode.out = place_of<void>(memory, job, Buffer::out);
  decode.lse = place_of<float>(memory, job, Buffer::lse);
  decode.workspace = place_of<float>(memory, job, Buffer::workspace);
  decode.arrivals = place_of<unsigned>(memory, job, Buffer::arrivals);
}

class Worker {
 public:
  Worker(GpuVendor vendor, std::string library) : vendor_(vendor), library_(std::move(library)) {}

  Reply answer(const Request& request);

 private:
  void open(const Request& request);
  void run(const Request& request, Reply& reply);

  GpuVendor vendor_;
  std::string library_;
  std::int64_t llc_bytes_ = 0;
  std::unique_ptr<Gpu> gpu_;
  CheckKernels checks_;
  std::unique_ptr<GpuTiming> timing_;
};

void Worker::open(const Request& request) {
  GpuApi api = load_gpu_api(vendor_, library_);
  describe_gpus(api);
  gpu_ = std::make_unique<Gpu>(std::move(api), request.header.ordinal);
  llc_bytes_ = std::max(request.header.llc_bytes, gpu_->l2_bytes());
  checks_.naive = GpuKernel(*gpu_, request.parts.at(0), 0);
  checks_.compare = GpuKernel(*gpu_, request.parts.at(1), 0);
}

void Worker::run(const Request& request, Reply& reply) {
  const std::string& bytes = request.parts.at(3);
  HostJob job;
  if (request.parts.at(2).size() != sizeof job) throw Error(ErrorKind::internal, "a torn job");
  std::memcpy(&job, request.parts.at(2).data(), sizeof job);
  const Launch& launch = request.header.launch;

  const GpuKernel decode(*gpu_, request.parts.at(0),
                         dynamic_lds_bytes(gpu_->device().arch, launch.config));
  GpuKernel reduce;
  if (!request.parts.at(1).empty()) reduce = GpuKernel(*gpu_, request.parts.at(1), 0);
  const GpuMemory memory(*gpu_, bytes.size());
  memory.write(0, bytes.data(), bytes.size());
  set_pointers(job, memory);
  decode.launch(job.decode_grid, job.decode_waves * gpu_->lanes(), &job.decode_args);
  const ReduceArgs merging = reduce_arguments(job.decode_args, job.partials);
  if (reduce) reduce.launch(job.reduce_grid, job.reduce_waves * gpu_->lanes(), &merging, true);
  gpu_->synchronise();

  std::string after(bytes.size(), '\0');
  memory.read(0, after.data(), after.size());
  const auto written =
      static_cast<std::size_t>(job.buffers[static_cast<std::size_t>(Buffer::out)].offset);
  if (after.compare(0, written, bytes, 0, written) != 0) {
    reply.header.verdict = Verdict::wrong_result;
    reply.parts.front() = "wrote to its inputs";
    return;
  }
  reply.parts.push_back(after.substr(written));
}

Reply Worker::answer(const Request& request) {
  Reply reply;
  reply.header = {Verdict::ok, false, -1, -1};
  reply.parts.emplace_back();
  const GpuRequest& header = request.header;
  if (header.task != GpuTask::describe && header.task != GpuTask::open && !gpu_) {
    throw Error(ErrorKind::internal, "the GPU worker was asked before it was opened");
  }
  try {
    switch (header.task) {
      case GpuTask::describe:
        reply.parts.push_back(describe(load_gpu_api(vendor_, library_)));
        break;
      case GpuTask::open:
        open(request);
        break;
      case GpuTask::run:
        run(request, reply);
        break;
      case GpuTask::begin_timing:
        timing_.reset();  // its memory first
        timing_ =
            std::make_unique<GpuTiming>(*gpu_, checks_, header.problem, header.seed, llc_bytes_);
        break;
      case GpuTask::add_candidate:
        if (!timing_) throw Error(ErrorKind::internal, "no problem to time for");
        timing_->add(header.candidate, request.parts.at(0), request.parts.at(1), header.launch,
                     header.tolerance, reply.header, reply.parts.front());
        break;
      case GpuTask::sample: {
        if (!timing_) throw Error(ErrorKind::internal, "no problem to time for");
        const std::vector<float> samples = timing_->sample(header.candidate, header.count);
        reply.parts.emplace_back(reinterpret_cast<const char*>(samples.data()),
                                 samples.size() * sizeof(float));
        break;
      }
      case GpuTask::conditions:
        reply.parts.push_back(gpu_conditions(vendor_, gpu_->device().pci_id));
        break;
    }
  } catch (const GpuError& error) {
    reply.header.verdict = error.verdict();
    reply.header.lost = error.lost();
    reply.parts.front() = error.what();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::device) throw;
    reply.header.verdict = Verdict::launch_failed;
    reply.parts.front() = error.what();
  }
  return reply;
}

int serve(GpuVendor vendor, const std::string& library) {
  Channel channel = Channel::to_parent();
  end_with_parent(channel);
  Worker worker(vendor, library);
  for (std::string message; channel.receive(message, deadline_in(kForEver)) == IoStatus::ok;) {
    const Reply reply = worker.answer(decode_request(message));
    if (channel.send(encode(reply), deadline_in(kForEver)) != IoStatus::ok) break;
    // Destroying what a lost device holds can take for ever.
    if (reply.header.lost) ::_exit(0);
  }
  ::_exit(0);
}

}  // namespace
}  // namespace mla

int main(int argc, char** argv) try {
  const std::string vendor = argc == 3 ? argv[1] : "";
  if (vendor != "amd" && vendor != "nvidia") {
    std::fputs("mla-gpu-worker is started by mla-tune, not by hand\n", stderr);
    return 2;
  }
  return mla::serve(vendor == "amd" ? mla::GpuVendor::amd : mla::GpuVendor::nvidia, argv[2]);
} catch (const std::exception& error) {
  std::fprintf(stderr, "mla-gpu-worker: %s\n", error.what());
  return 1;
}
