/* A program with one subcommand for each thing that a test wants of it: see ../README.md. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int by_text(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static int fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  return 1;
}

static int hello(const char *name) {
  int count = 0;
  printf("Hello, %s, from C!\n", name[0] ? name : "world");
  while (environ && environ[count]) count++;
  if (count) qsort(environ, count, sizeof *environ, by_text);
  for (int i = 0; i < count; i++) puts(environ[i]);
  return 0;
}

static char buffer[64 * 1024];

static int upcase(void) {
  ssize_t count;
  while ((count = read(0, buffer, sizeof buffer)) > 0) {
    for (ssize_t i = 0; i < count; i++) buffer[i] = toupper((unsigned char)buffer[i]);
    for (ssize_t done = 0; done < count;) {
      ssize_t n = write(1, buffer + done, count - done);
      if (n < 0) return fail("stdout");
      done += n;
    }
  }
  return count < 0 ? fail("stdin") : 0;
}

static int wc(void) {
  long long lines = 0, words = 0, bytes = 0;
  int in_word = 0;
  ssize_t count;
  while ((count = read(0, buffer, sizeof buffer)) > 0) {
    bytes += count;
    for (ssize_t i = 0; i < count; i++) {
      int space = strchr(" \n\t\r", buffer[i]) != NULL && buffer[i];
      lines += buffer[i] == '\n';
      words += !space && !in_word;
      in_word = !space;
    }
  }
  printf("%lld %lld %lld\n", lines, words, bytes);
  return 0;
}

static int copy(const char *from, const char *to) {
  FILE *source = fopen(from, "rb");
  if (!source) return fail(from);
  FILE *target = fopen(to, "wb");
  if (!target) return fail(to);
  long long total = 0;
  size_t count;
  while ((count = fread(buffer, 1, sizeof buffer, source)) > 0) {
    if (fwrite(buffer, 1, count, target) != count) return fail(to);
    total += count;
  }
  if (fclose(target)) return fail(to);
  printf("%lld\n", total);
  return 0;
}

static int ls(const char *path) {
  DIR *dir = opendir(path);
  if (!dir) return fail(path);
  char *names[1024];
  int count = 0;
  for (struct dirent *entry; (entry = readdir(dir)) && count < 1024;)
    if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..")) names[count++] = strdup(entry->d_name);
  qsort(names, count, sizeof *names, by_text);
  for (int i = 0; i < count; i++) puts(names[i]);
  return 0;
}

int main(int argc, char **argv) {
  const char *command = argc > 1 ? argv[1] : "hello";
  const char *a = argc > 2 ? argv[2] : "", *b = argc > 3 ? argv[3] : "";
  volatile int spinning = 1;

  if (!strcmp(command, "hello")) return hello(a);
  if (!strcmp(command, "upcase")) return upcase();
  if (!strcmp(command, "wc")) return wc();
  if (!strcmp(command, "copy")) return copy(a, b);
  if (!strcmp(command, "ls")) return ls(a);
  if (!strcmp(command, "sleep")) {
    long ms = atol(a);
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    return nanosleep(&time, NULL) ? fail("sleep") : 0;
  }
  while (!strcmp(command, "spin") && spinning) spinning = 1;
  while (!strcmp(command, "eat")) {
    char *block = malloc(1 << 20);
    if (!block) return fail("malloc");
    memset(block, 1, 1 << 20);
    /* Or the compiler would do without the block. */
    *(volatile char *)block = 2;
  }
  while (!strcmp(command, "flood")) puts("a line of a flood");
  if (!strcmp(command, "exit")) return atoi(a);
  if (!strcmp(command, "panic")) {
    fputs("the guest panics\n", stderr);
    abort();
  }
  if (!strcmp(command, "stderr")) return fprintf(stderr, "%s\n", a) < 0;
  fprintf(stderr, "unknown command %s\n", command);
  return 1;
}
