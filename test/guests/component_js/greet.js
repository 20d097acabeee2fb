export const texts = {
  greet({ firstName, age }) {
    return `Hello, ${firstName} (${age})!`;
  },
  words(text) {
    return [...new Set(text.split(/\s+/).filter(Boolean))].sort();
  },
  keys(json) {
    try {
      return Object.keys(JSON.parse(json));
    } catch (error) {
      throw String(error.message);
    }
  },
};
