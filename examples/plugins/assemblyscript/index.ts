// Greets in the language that is configured, with the public kit.
import { Config, Host, Memory } from "@extism/as-pdk";
import { error_set } from "@extism/as-pdk/lib/env";

export function greet(): i32 {
  const name = Host.inputString();
  if (name.length == 0) throw new Error("who is it?");
  const word = Config.get("greeting");
  Host.outputString((word ? word : "Hello") + ", " + name + "!");
  return 0;
}

export function myAbort(message: string | null, file: string | null, line: u32, column: u32): void {
  if (message) error_set(Memory.allocateString(message).offset);
}
