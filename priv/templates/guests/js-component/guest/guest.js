// A component with the functions of wit/world.wit.
export const greetings = {
  greet(name) {
    return `Hello, ${name}!`;
  },
};
