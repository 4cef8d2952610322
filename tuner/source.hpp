#pragma once

#include <string>
#include <string_view>

#include "kernels/params.hpp"

namespace mla {

// The whole translation unit of a variant's kernel: the template, its Config and the symbol
// `entry`. Only parameters that change the code are in it, so variants that differ in splits alone
// have equal units and share a code object.
std::string decode_source(const Config& config);
std::string reduce_source(const ReduceConfig& config);

// The translation units of the kernels that check others on a GPU: the naive reference
// (sparse_mla_naive.hpp), and the comparison of two results (sparse_mla_compare.hpp).
std::string naive_source();
std::string compare_source();

// The identity of a variant: 32 hexadecimal digits of the template's name and the canonical
// parameters (variant_params(), Space::params()).
std::string variant_key(std::string_view kernel, std::string_view params);

}  // namespace mla
