/* A NIF that tells callgrind where a measurement begins and ends. Outside of valgrind it does nothing. */
#include <erl_nif.h>
#include <valgrind/callgrind.h>

static ERL_NIF_TERM start(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
  CALLGRIND_START_INSTRUMENTATION;
  return enif_make_atom(env, "ok");
}

static ERL_NIF_TERM zero(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
  CALLGRIND_ZERO_STATS;
  return enif_make_atom(env, "ok");
}

/* Writes what was counted to a file of its own, which carries the name. */
static ERL_NIF_TERM dump(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]) {
  char name[64];
  if (!enif_get_string(env, argv[0], name, sizeof name, ERL_NIF_LATIN1)) return enif_make_badarg(env);
  CALLGRIND_DUMP_STATS_AT(name);
  return enif_make_atom(env, "ok");
}

static ErlNifFunc functions[] = {{"start", 0, start}, {"zero", 0, zero}, {"dump", 1, dump}};

ERL_NIF_INIT(Elixir.Bench.Probe, functions, NULL, NULL, NULL, NULL)
