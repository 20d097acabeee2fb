// A component: its functions are those of wit/world.wit.
export const greetings = {
  greet(name) {
    return `Hello, ${name}!`;
  },
};
