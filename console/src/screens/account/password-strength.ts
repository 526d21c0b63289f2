/** As gateway/accounts/password_rules.py. */
const MIN_LENGTH = 12;

export type Strength = "short" | "weak" | "fair" | "good";

const FAIR = 9;
const GOOD = 14;
const COMMON = [
  ...[
    "slipstream",
    "password",
    "passwort",
    "passw0rd",
    "qwertyuiop",
    "qwertzuiop",
    "qwerty",
    "qwertz",
    "asdfgh",
  ],
  ...[
    "admin",
    "welcome",
    "letmein",
    "iloveyou",
    "monkey",
    "dragon",
    "football",
    "sunshine",
    "princess",
    "secret",
  ],
];

/**
 * Estimate how hard a password is to guess.
 *
 * The gateway decides, with lists of common words that are too large for this page: it may refuse what is fair
 * here, and hardly ever what is good.
 */
export function passwordStrength(password: string, email: string): Strength {
  const normal = password.normalize("NFKC");
  if (missingCharacters(password) > 0) return "short";
  const characters = [...withoutCommon(normal.toLowerCase(), email.toLowerCase())];
  const free = characters.filter((character, at) => !follows(character, characters[at - 1])).length;
  const worth = Math.min(free, 2 * new Set(characters).size);
  if (worth < FAIR) return "weak";
  return worth < GOOD ? "fair" : "good";
}

/** Return how many characters a password is too short; 0 or less: none. */
export function missingCharacters(password: string): number {
  return MIN_LENGTH - [...password.normalize("NFKC")].length;
}

/** Return the password with one character in place of each word that is tried first. */
function withoutCommon(password: string, email: string): string {
  const own = [email, ...email.split(/\W+/)].filter((word) => word.length > 2);
  return [...own, ...COMMON].reduce((text, word) => text.replaceAll(word, word.charAt(0)), password);
}

/** Whether a character repeats the one before, or is next to it in a sequence such as 1234 or dcba. */
function follows(character: string, before: string | undefined): boolean {
  if (before === undefined) return false;
  const step = (character.codePointAt(0) ?? 0) - (before.codePointAt(0) ?? 0);
  return Math.abs(step) <= 1 || (before === "9" && character === "0");
}
