/** Texts of the dialogs that show a key or a secret once. */
export const saveKeyTexts = {
  title: "Save your API key",
  text: "Copy this key now. It cannot be shown again. Do not share it with anyone.",
  key: "API key",
  env: "Line for a .env file",
  curl: "Call it: paste this into a terminal",
  copyCurl: "Copy call",
  copyKey: "Copy key",
  copyLine: "Copy line",
  leaveTitle: "Leave without the key?",
  leaveText: "It cannot be shown again. You can create another key later.",
  stay: "Go back to the key",
};

export const secretTexts = {
  saved: "I saved it",
  leave: "Leave",
};
