#pragma once

#include <gtest/gtest.h>

#include <fstream>

#include "tests/temporary_folder.hpp"
#include "tuner/compile.hpp"

namespace mla::test {

// The path of a shared object in `folder`, for host runners to load; a test failure where `source`
// does not compile.
inline std::string compile(const std::string& source, const TemporaryFolder& folder,
                           const std::string& name) {
  const FoundToolchain toolchain = toolchain_for("host", search_from_environment());
  CompilePool pool(toolchain, nullptr, 1);
  CompileJob job;
  job.arch = "host";
  job.source = source;
  job.headers = read_headers(MLA_TEMPLATES);
  pool.submit(job);
  const CompileResult result = pool.next().value();
  EXPECT_EQ(result.verdict, Verdict::ok) << result.log;
  const std::string path = folder.path() + "/" + name + ".so";
  std::ofstream(path, std::ios::binary) << result.code;
  return path;
}

}  // namespace mla::test
