/* A program: arguments, standard input and output. */
#include <stdio.h>

int main(int argc, char **argv) {
  size_t size = 0;
  while (getchar() != EOF) size++;
  printf("Hello, %s! (%zu bytes of input)\n", argc > 1 ? argv[1] : "world", size);
  return 0;
}
