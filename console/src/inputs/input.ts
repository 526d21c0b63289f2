import { useCallback, useMemo, useState } from "react";
import { isObject, type Json, type JsonObject, parseJson, stringifyJson } from "../formats/lossless-json";
import { inputTexts } from "../strings/inputs";

export type TextView = "json" | "curl";
export type Path = readonly string[];

interface Typed {
  view: TextView;
  text: string;
  /** Why the text is no input; null: it is the present one. */
  error: string | null;
}

interface State {
  value: JsonObject;
  typed: Typed | null;
}

/** An input of a call. Form, JSON and cURL are views of its value. */
export interface Input extends State {
  /** Set or, with undefined, remove a member. A text that is being typed is replaced by the new value. */
  setAt: (path: Path, value: Json | undefined) => void;
  /** Take a text of a view; while it is no input, the last good value stays. */
  type: (view: TextView, text: string, read: (text: string) => JsonObject) => void;
}

export function useInput(initial: JsonObject): Input {
  const [state, setState] = useState<State>({ value: initial, typed: null });
  const setAt = useCallback(
    (path: Path, value: Json | undefined) =>
      setState((before) => ({ value: replacedAt(before.value, path, value), typed: null })),
    [],
  );
  const type = useCallback(
    (view: TextView, text: string, read: (text: string) => JsonObject) =>
      setState((before) => {
        try {
          return { value: read(text), typed: { view, text, error: null } };
        } catch (error) {
          return { ...before, typed: { view, text, error: (error as Error).message } };
        }
      }),
    [],
  );
  return useMemo(() => ({ ...state, setAt, type }), [state, setAt, type]);
}

/** Return the JSON value that a text is. Throws an Error with the reason. */
export function parseValue(text: string): Json {
  try {
    return parseJson(text);
  } catch (error) {
    throw new Error(inputTexts.json.notJson((error as Error).message));
  }
}

/** Return the JSON object that a text is. Throws an Error with the reason. */
export function readObject(text: string): JsonObject {
  const value = parseValue(text);
  if (!isObject(value)) throw new Error(inputTexts.json.notObject);
  return value;
}

/** Return an object with another member at a path; what is beside it stays the same object. */
export function replacedAt(object: JsonObject, path: Path, value: Json | undefined): JsonObject {
  const [name, ...rest] = path;
  if (name === undefined) return isObject(value) ? value : {};
  if (value === undefined && rest.length === 0) {
    const { [name]: _, ...others } = object;
    return others;
  }
  const inner = object[name];
  const member = rest.length ? replacedAt(isObject(inner) ? inner : {}, rest, value) : value;
  return { ...object, [name]: member ?? null };
}

const FRAGMENT = "#i=";
const MAX_FRAGMENT_BYTES = 8_192;

/** Return the fragment of an address that holds an input; null: it is too large for one. */
export function fragmentOf(value: JsonObject): string | null {
  const text = stringifyJson(value);
  if (text.length > MAX_FRAGMENT_BYTES) return null;
  const binary = Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join("");
  const fragment = FRAGMENT + btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  return fragment.length > MAX_FRAGMENT_BYTES ? null : fragment;
}

/** Return the input that a fragment holds; null: it holds none. */
export function inputOfFragment(fragment: string): JsonObject | null {
  if (!fragment.startsWith(FRAGMENT) || fragment.length > MAX_FRAGMENT_BYTES) return null;
  try {
    const binary = atob(fragment.slice(FRAGMENT.length).replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0));
    return readObject(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return null; // not made here
  }
}
