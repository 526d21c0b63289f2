/** Texts about the strength of a new password. */
export const passwordTexts = {
  strengths: {
    short: (missing: number) =>
      missing === 1 ? "Too short: 1 more character." : `Too short: ${missing} more characters.`,
    weak: "Easy to guess: use several unusual words.",
    fair: "Fair. The gateway also refuses common words and names.",
    good: "Good.",
  },
};
