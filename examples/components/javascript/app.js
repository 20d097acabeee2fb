export const texts = {
  words(text) {
    return [...new Set(text.split(/\s+/).filter(Boolean))].sort();
  },
  summarize(text) {
    const words = text.split(/\s+/).filter(Boolean);
    if (!words.length) return undefined;
    const longestWord = words.reduce((a, b) => (b.length > a.length ? b : a));
    return { wordCount: words.length, longestWord };
  },
  jsonKeys(text) {
    try {
      return Object.keys(JSON.parse(text));
    } catch (error) {
      throw String(error.message);
    }
  },
};
