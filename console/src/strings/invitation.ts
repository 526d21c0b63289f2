/** Texts of the page that an invitation opens. */
export const invitationTexts = {
  title: "Set your password",
  text: "You were invited. Set a password to log in.",
  submit: "Set password and log in",
  passwordHint: "At least 12 characters, hard to guess.",
  noToken: "This link has no token",
  noTokenText: "Copy the whole link, with everything after #.",
  used: "This link is no longer valid",
  usedText: "It works once, within 72 hours. Log in if you have set a password, or ask for a new link.",
  login: "Go to log-in",
};
