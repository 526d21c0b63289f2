/** Texts of requests that are shown as cURL commands. */
export const curlTexts = {
  title: "Show as cURL",
  hint: "The same over REST, with a key of the scope manage",
};
