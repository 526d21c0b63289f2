import { type Json, parseJson } from "../formats/lossless-json";
import { inputTexts } from "../strings/inputs";

/** A command that has no body, or one that cannot be read. */
export class UnreadableCommand extends Error {}

const DATA = /^(?:-d|--data(?:-raw|-binary|-ascii)?|--json)$/;
const DATA_WITH_VALUE = /^(?:-d|--data(?:-raw|-binary|-ascii)?=|--json=)(.*)$/s;
const KEY = /sk-[0-9A-Za-z]{9,}/g;

/** Return a text without API keys, which are of no use here and must not stay on the page. */
export function withoutKeys(text: string, mask: string): string {
  return text.replaceAll(KEY, mask);
}

/** Return the JSON that a cURL command for a shell sends. Throws UnreadableCommand. */
export function bodyOfCommand(command: string): Json {
  const words = wordsOf(command);
  if (words[0] !== "curl") throw new UnreadableCommand(inputTexts.curl.notCurl);
  const data: string[] = [];
  words.forEach((word, at) => {
    if (DATA.test(word)) data.push(words[at + 1] ?? "");
    else if (!DATA.test(words[at - 1] ?? "")) {
      const value = DATA_WITH_VALUE.exec(word)?.[1];
      if (value !== undefined) data.push(value);
    }
  });
  const [body, ...more] = data;
  if (body === undefined || more.length) throw new UnreadableCommand(inputTexts.curl.bodies(data.length));
  if (body.startsWith("@")) throw new UnreadableCommand(inputTexts.curl.file(body.slice(1)));
  try {
    return parseJson(body);
  } catch (error) {
    throw new UnreadableCommand(inputTexts.curl.notJson((error as Error).message));
  }
}

const ESCAPES: Record<string, string> = { n: "\n", t: "\t", r: "\r" };

/** Return the words of a command as a shell divides it: quotes, escapes, continued lines. Throws UnreadableCommand. */
export function wordsOf(command: string): string[] {
  const words: string[] = [];
  let word: string | null = null;
  const add = (text: string) => {
    word = (word ?? "") + text;
  };
  const text = command.trim().replace(/^\$\s+/, "");
  const PART = /\\\r?\n|\s+|'([^']*)'|\$'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|\\(.)|[^\s'"\\$]+|./sy;
  for (let match = PART.exec(text); match; match = PART.exec(text)) {
    const [part, single, ansi, double, escaped] = match;
    if (single !== undefined) add(single);
    else if (ansi !== undefined) add(unescapedAnsi(ansi));
    else if (double !== undefined) add(double.replace(/\\\r?\n/g, "").replace(/\\(["\\$`])/g, "$1"));
    else if (/^\\\r?\n$/.test(part)) continue;
    else if (escaped !== undefined) add(escaped);
    else if (part === "'" || part === '"') throw new UnreadableCommand(inputTexts.curl.quote(part));
    else if (!/^\s/.test(part)) add(part);
    else if (word !== null) {
      words.push(word);
      word = null;
    }
  }
  return word === null ? words : [...words, word];
}

/** Return what `$'…'` of bash stands for, as browsers copy requests as cURL. */
function unescapedAnsi(text: string): string {
  return text.replace(/\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))/gs, (_, unicode, byte, one: string) =>
    unicode || byte ? String.fromCharCode(Number.parseInt(unicode ?? byte, 16)) : (ESCAPES[one] ?? one),
  );
}
