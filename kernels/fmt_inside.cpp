// What of fmt is compiled and not in its headers, for a library that must not need fmt's own.
#ifndef FMT_HEADER_ONLY
#include <fmt/format-inl.h>

template char fmt::detail::decimal_point_impl<char>(fmt::detail::locale_ref);
template fmt::detail::thousands_sep_result<char> fmt::detail::thousands_sep_impl<char>(
    fmt::detail::locale_ref);
#endif
