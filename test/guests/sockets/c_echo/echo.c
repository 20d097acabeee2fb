// Echoes on a port until so many connections have ended: one poll_oneoff for all of them.
//   echo PORT CONNECTIONS
// WasmEdge's sockets, second version, declared by hand.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <wasi/api.h>

#define IMPORT(name) __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name))) int32_t
typedef struct { const uint8_t *buf; uint32_t len; } address;
IMPORT(sock_open) sock_open(int32_t family, int32_t type, int32_t *fd);
IMPORT(sock_bind) sock_bind(int32_t fd, address *a, int32_t port);
IMPORT(sock_listen) sock_listen(int32_t fd, int32_t backlog);
IMPORT(sock_accept) sock_accept_v2(int32_t fd, int32_t flags, int32_t *out);
IMPORT(sock_setsockopt) sock_setsockopt(int32_t fd, int32_t level, int32_t name, void *v, int32_t len);
IMPORT(sock_getpeeraddr) sock_getpeeraddr(int32_t fd, address *a, uint32_t *port);
IMPORT(fd_fdstat_set_flags) set_flags(int32_t fd, int32_t flags);

enum { MOST = 8, NONBLOCK = 4, AGAIN = 6 };
static int32_t fds[MOST], open;

static void accept_one(int32_t listener) {
  int32_t fd, e = sock_accept_v2(listener, NONBLOCK, &fd);
  if (e) { printf("accept %d\n", e); return; }
  uint8_t raw[128];
  address peer = {raw, sizeof raw};
  uint32_t port;
  e = sock_getpeeraddr(fd, &peer, &port);
  printf("peer %d.%d.%d.%d family %d err %d\n", raw[2], raw[3], raw[4], raw[5], raw[0], e);
  fds[open++] = fd;
}

// Whether the connection goes on.
static int echo(int32_t fd) {
  char b[512];
  __wasi_iovec_t in = {(uint8_t *)b, sizeof b};
  __wasi_size_t n = 0;
  int32_t e = __wasi_fd_read(fd, &in, 1, &n);
  if (e == AGAIN) return 1;
  if (e || n == 0) { (void)!__wasi_fd_close(fd); return 0; }
  __wasi_ciovec_t out = {(uint8_t *)b, n};
  (void)!__wasi_fd_write(fd, &out, 1, &n);
  return 1;
}

static void subscribe(__wasi_subscription_t *s, int32_t fd, int userdata) {
  s->userdata = userdata;
  s->u.tag = __WASI_EVENTTYPE_FD_READ;
  s->u.u.fd_read.file_descriptor = fd;
}

int main(int argc, char **argv) {
  int32_t listener, e, one = 1;
  uint8_t loopback[4] = {127, 0, 0, 1};
  address a = {loopback, sizeof loopback};
  if (argc < 3) return 2;
  if ((e = sock_open(1, 2, &listener)) || (e = sock_setsockopt(listener, 0, 0, &one, 4)) ||
      (e = sock_bind(listener, &a, atoi(argv[1]))) || (e = sock_listen(listener, 16)) ||
      (e = set_flags(listener, NONBLOCK))) {
    printf("error %d\n", e);
    return 1;
  }
  printf("listening\n");
  fflush(stdout);
  for (int left = atoi(argv[2]); left > 0;) {
    __wasi_subscription_t subscriptions[MOST + 2] = {0};
    __wasi_event_t events[MOST + 2];
    __wasi_size_t count;
    subscribe(&subscriptions[0], listener, 0);
    for (int i = 0; i < open; i++) subscribe(&subscriptions[i + 1], fds[i], i + 1);
    __wasi_subscription_t *clock = &subscriptions[open + 1];
    clock->userdata = 99;
    clock->u.tag = __WASI_EVENTTYPE_CLOCK;
    clock->u.u.clock.id = __WASI_CLOCKID_MONOTONIC;
    clock->u.u.clock.timeout = 5000000000ull;
    if ((e = __wasi_poll_oneoff(subscriptions, events, open + 2, &count))) { printf("poll %d\n", e); return 1; }
    for (unsigned i = 0; i < count; i++) {
      int who = events[i].userdata;
      if (who == 99) { printf("timeout\n"); return 2; }
      if (who == 0) { if (open < MOST) accept_one(listener); continue; }
      if (!echo(fds[who - 1])) { fds[who - 1] = fds[--open]; left--; break; }
    }
  }
  printf("done\n");
  return 0;
}
