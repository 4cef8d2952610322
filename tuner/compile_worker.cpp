#include "tuner/compile_worker.hpp"

#include <fmt/format.h>
#include <signal.h>

#include <chrono>
#include <filesystem>

#include "db/error.hpp"

namespace mla {
namespace {

constexpr std::size_t kOutputShown = 2000;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

CompileWorker::CompileWorker(const FoundToolchain& toolchain, std::string folder)
    : toolchain_(toolchain), folder_(std::move(folder)) {}

CompileWorker::~CompileWorker() { end_helper(); }

std::string CompileWorker::end_helper() {
  const std::lock_guard lock(mutex_);
  if (!helper_) return {};
  const std::string end = describe(helper_->kill());
  const std::string said = helper_->output(kOutputShown);
  helper_.reset();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
  return said.empty() ? end : fmt::format("{}: {}", end, said);
}

void CompileWorker::stop() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  if (helper_) ::kill(-helper_->pid(), SIGKILL);
}

CompileWorker::Reply CompileWorker::ask(const Fields& request, Deadline deadline) {
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) return {IoStatus::closed, {}, "the pool was stopped"};
    if (!helper_) {
      std::vector<std::string> command = toolchain_.command;
      command.push_back(folder_);
      helper_.emplace(command, toolchain_.environment);
    }
  }
  Reply reply;
  std::string message;
  reply.status = helper_->send(pack(request), deadline);
  if (reply.status == IoStatus::ok) reply.status = helper_->receive(message, deadline);
  std::optional<Fields> fields;
  if (reply.status == IoStatus::ok) fields = unpack(message);
  if (fields && fields->size() >= 2) {
    reply.fields = std::move(*fields);
    return reply;
  }
  if (reply.status == IoStatus::ok) reply.status = IoStatus::closed;
  reply.death = end_helper();
  return reply;
}

CompileResult CompileWorker::compile(const CompileJob& job) {
  const auto start = std::chrono::steady_clock::now();
  CompileResult result;
  result.tag = job.tag;
  std::vector<std::string> options = arch_options(job.arch);
  options.insert(options.end(), job.options.begin(), job.options.end());
  Fields request{"compile", job.arch, job.source, std::to_string(options.size())};
  request.insert(request.end(), options.begin(), options.end());
  if (job.headers) {
    for (const SourceHeader& header : *job.headers) {
      request.push_back(header.name);
      request.push_back(header.text);
    }
  }
  Reply reply;
  try {
    reply = ask(request, deadline_in(job.deadline_seconds));
  } catch (const Error& error) {
    reply.death = error.what();
  }
  result.seconds = seconds_since(start);
  if (reply.status == IoStatus::timed_out) {
    result.verdict = Verdict::timed_out;
    result.log = fmt::format("the compiler was stopped after {:.3g} s", job.deadline_seconds);
  } else if (reply.status != IoStatus::ok) {
    result.verdict = Verdict::crashed;
    result.log = fmt::format("the compiler ended with {}", reply.death);
  } else if (reply.fields[0] != "ok" || reply.fields.size() < 3) {
    result.verdict = Verdict::compile_failed;
    result.log = std::move(reply.fields[1]);
  } else {
    result.verdict = Verdict::ok;
    result.code = std::move(reply.fields[1]);
    result.log = std::move(reply.fields[2]);
  }
  return result;
}

std::optional<std::string> CompileWorker::disassemble(const std::string& arch,
                                                      std::string_view code, Deadline deadline) {
  Reply reply = ask({"disassemble", arch, std::string(code)}, deadline);
  if (reply.status != IoStatus::ok || reply.fields[0] != "ok") return std::nullopt;
  return std::move(reply.fields[1]);
}

}  // namespace mla
