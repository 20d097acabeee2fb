/* A plug-in with the ABI of Extism. */
#include "plugin.h"

EXPORT("greet") int greet(void) {
  char *name = plugin_input();
  size_t size = strlen(name) + sizeof "Hello, !";
  char *text = malloc(size);
  strcpy(text, "Hello, ");
  strcat(text, name);
  strcat(text, "!");
  int result = plugin_output(text);
  free(text);
  free(name);
  return result;
}
