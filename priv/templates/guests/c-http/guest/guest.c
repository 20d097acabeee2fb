/* An HTTP function: the request is in environment variables (http_path, http_query, …) and its body on standard input. The
   output is the response. */
#include <stdio.h>
#include <stdlib.h>

int main(void) {
  const char *query = getenv("http_query");
  printf("Hello, %s!\n", query ? query : "");
  return 0;
}
