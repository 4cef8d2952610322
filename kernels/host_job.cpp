#include "kernels/host_job.hpp"

#include <nlohmann/json.hpp>

#include "db/error.hpp"

namespace mla {

using nlohmann::json;

std::string encode(const HostAnswer& answer) {
  const json message = {{"verdict", static_cast<int>(answer.verdict)},
                        {"reason", answer.reason},
                        {"samples_us", answer.samples_us}};
  // A reason may quote what a kernel printed: any bytes at all.
  return message.dump(-1, ' ', false, json::error_handler_t::replace);
}

HostAnswer decode_answer(const std::string& message) {
  try {
    const json answer = json::parse(message);
    return {verdict_from(answer.at("verdict").get<int>()), answer.at("reason").get<std::string>(),
            answer.at("samples_us").get<std::vector<float>>()};
  } catch (const std::exception& error) {
    throw Error(ErrorKind::internal,
                std::string("mla-host-worker answered nonsense: ") + error.what());
  }
}

}  // namespace mla
