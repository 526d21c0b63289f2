/** Texts of the page that makes the first account. */
export const setupTexts = {
  title: "First start: make your account",
  submit: "Make account",
  passwordHint: "At least 12 characters, hard to guess.",
  once: "This page works once, with the printed link.",
  noToken: "This link has no token",
  noTokenText: "Copy the whole link from the terminal of `slipstream up`, with everything after #.",
  used: "This link is no longer valid",
  usedText: "Set-up is done, or the gateway was started again and has printed a new link.",
  thenTitle: "Then, in about two minutes",
  steps: [
    ["Choose a model", "iris is ready, or drop your .onnx"],
    ["Deploy it", "one button"],
    ["Call it", "paste one line into a terminal"],
  ],
};
