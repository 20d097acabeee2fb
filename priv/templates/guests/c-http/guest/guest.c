/* A function over HTTP: the request is in environment variables (http_path, http_query, …), the body is standard input,
   and what is printed is the answer. */
#include <stdio.h>
#include <stdlib.h>

int main(void) {
  const char *query = getenv("http_query");
  printf("Hello, %s!\n", query ? query : "");
  return 0;
}
