#include "kernels/gpu_job.hpp"

#include <cstring>
#include <type_traits>

#include "db/error.hpp"

namespace mla {
namespace {

template <class Header>
std::string encode_any(const GpuMessage<Header>& message) {
  static_assert(std::is_trivially_copyable_v<Header>);
  std::string bytes(reinterpret_cast<const char*>(&message.header), sizeof(Header));
  for (const std::string& part : message.parts) {
    const std::uint64_t size = part.size();
    bytes.append(reinterpret_cast<const char*>(&size), sizeof size);
    bytes += part;
  }
  return bytes;
}

template <class Header>
GpuMessage<Header> decode_any(const std::string& bytes) {
  const auto require = [](bool good) {
    if (!good) {
      throw Error(ErrorKind::internal,
                  "mla-gpu-worker and the program that started it are of different versions; "
                  "build both");
    }
  };
  GpuMessage<Header> message;
  require(bytes.size() >= sizeof(Header));
  std::memcpy(&message.header, bytes.data(), sizeof(Header));
  for (std::size_t at = sizeof(Header); at < bytes.size();) {
    std::uint64_t size = 0;
    require(bytes.size() - at >= sizeof size);
    std::memcpy(&size, bytes.data() + at, sizeof size);
    at += sizeof size;
    require(bytes.size() - at >= size);
    message.parts.push_back(bytes.substr(at, size));
    at += size;
  }
  return message;
}

}  // namespace

GpuProblem gpu_problem(const ProblemRecord& p) {
  return {p.num_heads,  p.num_tokens,  p.main_len,     p.extra_len,           p.main_page,
          p.extra_page, p.main_format, p.extra_format, p.lengths == "ragged", p.warm_cache};
}

ProblemRecord problem_record(const GpuProblem& p) {
  ProblemRecord record;
  record.kernel = "sparse_mla_decode";
  record.num_heads = p.heads;
  record.num_tokens = p.tokens;
  record.main_len = p.main_len;
  record.extra_len = p.extra_len;
  record.main_page = p.main_page;
  record.extra_page = p.extra_page;
  record.main_format = p.main_format;
  record.extra_format = p.extra_format;
  record.lengths = p.ragged ? "ragged" : "uniform";
  record.warm_cache = p.warm_cache;
  return record;
}

std::string encode(const GpuMessage<GpuRequest>& message) { return encode_any(message); }
std::string encode(const GpuMessage<GpuReply>& message) { return encode_any(message); }
GpuMessage<GpuRequest> decode_request(const std::string& bytes) {
  return decode_any<GpuRequest>(bytes);
}
GpuMessage<GpuReply> decode_reply(const std::string& bytes) { return decode_any<GpuReply>(bytes); }

}  // namespace mla
