#include "tuner/report_files.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>

#include "db/error.hpp"
#include "kernels/process.hpp"
#include "tuner/tune_command.hpp"

namespace mla {

namespace fs = std::filesystem;

namespace {

// One name of a file that may have several.
fs::path place_of(const std::string& path) {
  std::error_code unreadable;
  const fs::path place = fs::weakly_canonical(path, unreadable);
  return unreadable ? fs::path(path) : place;
}

}  // namespace

void check_outputs(const ReportOptions& options) {
  std::map<fs::path, std::string> taken;
  for (const std::string& database : options.databases) taken[place_of(database)] = "--db";
  const std::pair<const char*, const std::string&> outputs[] = {{"--html", options.html},
                                                                {"--md", options.markdown},
                                                                {"--json", options.json},
                                                                {"--junit", options.junit}};
  for (const auto& [option, path] : outputs) {
    if (path.empty()) continue;
    const fs::path place = place_of(path);
    std::error_code unreadable;
    // /dev/stdout takes all of them.
    if (fs::exists(place, unreadable) && !fs::is_regular_file(place, unreadable)) continue;
    const auto [at, is_new] = taken.try_emplace(place, option);
    if (!is_new)
      throw Error(ErrorKind::usage,
                  fmt::format("{} and {} both name {}: give each a file of its own", at->second,
                              option, path));
  }
}

fs::path page_template() {
  const fs::path beside = fs::path(sibling_program(".")).lexically_normal();
  for (const char* relative :
       {"page.html", "../reports/page/dist/page.html", "../../reports/page/dist/page.html",
        "../share/mla-tune/page.html"}) {
    const fs::path path = (beside / relative).lexically_normal();
    std::error_code ignored;
    if (fs::is_regular_file(path, ignored)) return path;
  }
  throw Error(ErrorKind::system,
              fmt::format("page.html is not beside {} nor in ../share/mla-tune: install again, or "
                          "leave --html out",
                          beside.string()));
}

std::string temporary_page() {
  std::string path = (fs::temp_directory_path() / "mla-tune-report-XXXXXX.html").string();
  const int file = ::mkstemps(path.data(), 5);
  if (file < 0)
    throw Error(ErrorKind::system, fmt::format("cannot write {}: {}; name a file with --html", path,
                                               std::strerror(errno)));
  ::close(file);
  return path;
}

void open_in_browser(const std::string& html) {
  const CommandResult result =
      run_command({"xdg-open", fs::absolute(html).string()}, deadline_in(20));
  if (!result.status || !result.status->success())
    fmt::print(stderr, "note: xdg-open did not open {}; it is a file for any browser\n", html);
}

}  // namespace mla
