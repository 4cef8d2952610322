/* A program that knows nothing but the installed header and library. */
#include <mla_dispatch.h>
#include <stdio.h>
#include <string.h>

int main(void) {
  mla_dispatcher* dispatcher = NULL;
  mla_options options = mla_options_init();
  options.arch = "gfx950";
  if (mla_open("/nowhere/some.bundle", MLA_DEVICE_NONE, &options, &dispatcher) !=
      MLA_ERROR_DATABASE) {
    return 1;
  }
  if (strstr(mla_last_error(), "does not exist") == NULL) return 2;
  printf("%s\n", mla_version());
  return 0;
}
