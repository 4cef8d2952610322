# Included where MLA_PORTABLE is on, in two parts: before the libraries are looked for, and after. Everything but libc
# and its family (libm, libdl, libpthread) goes into the binaries; GPU drivers and compilers are opened at run time
# anyway. A test reads the result back.
macro(mla_prefer_static_libraries)
  set(CMAKE_FIND_LIBRARY_SUFFIXES .a)
  set(Boost_USE_STATIC_LIBS ON)
  add_link_options(-static-libgcc -static-libstdc++ LINKER:--as-needed)
endmacro()

# Debian's own CMake files name shared libraries, and of fmt and spdlog there is no other: those two are compiled from
# their headers, which leaves nothing that the shared ones are needed for.
function(mla_replace_shared_libraries)
  set_target_properties(fmt::fmt PROPERTIES INTERFACE_COMPILE_DEFINITIONS FMT_HEADER_ONLY=1)
  set_target_properties(spdlog::spdlog PROPERTIES INTERFACE_COMPILE_DEFINITIONS SPDLOG_FMT_EXTERNAL)
  find_library(MLA_YAML_CPP_STATIC NAMES libyaml-cpp.a REQUIRED)
  get_target_property(configurations yaml-cpp IMPORTED_CONFIGURATIONS)
  foreach(configuration ${configurations})
    set_target_properties(yaml-cpp PROPERTIES IMPORTED_LOCATION_${configuration} ${MLA_YAML_CPP_STATIC})
  endforeach()
endfunction()
