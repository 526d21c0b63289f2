import type { Token } from "../../ui/copy";
import type { Language } from "./languages";

/** How a value is written: as the gateway does it, whose tests have the same cases. */
type Form = "shell" | "python" | "javascript" | "go";

const FORMS: Record<Language, Form> = {
  curl: "shell",
  python: "python",
  javascript: "javascript",
  typescript: "javascript",
  go: "go",
  httpie: "shell",
  grpc_python: "python",
};
const JSON_TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;
const PYTHON_NAMES: Record<string, string> = { null: "None", true: "True", false: "False" };
const FIRST_ASTRAL = 0x10000;

/**
 * Return JSON as a literal of a language, in tokens as those of Pygments.
 *
 * It is written from the text, not from parsed values, which would round numbers and sort members. `kind` is that of
 * the text around it, where the language has the whole body in a text.
 */
export function literalTokens(json: string, language: Language, kind = ""): Token[] {
  const form = FORMS[language];
  const tokens = json.match(JSON_TOKEN) ?? [];
  const written = tokens.map((token, at): Token => {
    if (token === "," || token === ":") return ["p", `${token} `];
    if (!token.startsWith('"')) return nameOrNumber(token, form);
    return ["s", textOf(token, form, tokens[at + 1] === ":")];
  });
  if (form === "python" || form === "javascript") return written;
  const text = written.map(([, part]) => part).join("");
  return [[kind, form === "shell" ? text.replaceAll("'", "\\u0027") : text.replaceAll("`", "\\u0060")]];
}

function nameOrNumber(token: string, form: Form): Token {
  if (/^[{}[\]]$/.test(token)) return ["p", token];
  if (/^[a-z]/.test(token)) return ["k", form === "python" ? (PYTHON_NAMES[token] ?? token) : token];
  return ["m", token];
}

function textOf(token: string, form: Form, isName: boolean): string {
  const text: string = JSON.parse(token);
  // A plain __proto__ would set the prototype of the object.
  if (form === "javascript" && isName && text === "__proto__") return '["__proto__"]';
  const escaped = form === "python" ? pythonEscape : jsonEscape;
  return JSON.stringify(text).replace(/[^ -~]/gu, (letter) =>
    /[\p{C}\p{Z}]/u.test(letter) ? escaped(letter) : letter,
  );
}

function jsonEscape(letter: string): string {
  const units = Array.from({ length: letter.length }, (_, at) => letter.charCodeAt(at));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("");
}

/** Python reads a pair of surrogates as two characters, so that they have an escape of their own. */
function pythonEscape(letter: string): string {
  const point = letter.codePointAt(0) ?? 0;
  return point < FIRST_ASTRAL ? jsonEscape(letter) : `\\U${point.toString(16).padStart(8, "0")}`;
}
