import { bytes } from "../formats/formats";
import { isObject, type Json, parseJson } from "../formats/lossless-json";
import { inputTexts } from "../strings/inputs";
import { readNpy } from "./npy";
import { readTable, UnreadableNumbers } from "./table-text";

/** What a dialog of the system offers. */
export const ARRAY_FILES = ".npy,.csv,.tsv,.txt,.json";

/**
 * Return the array of a file: NumPy's, JSON (an array, or an object with a member of this name), or else a table.
 *
 * Rejects with UnreadableNumbers.
 */
export async function readArrayFile(file: File, name: string, limit: number): Promise<Json> {
  if (file.size > limit)
    throw new UnreadableNumbers(inputTexts.array.fileTooLarge(bytes(file.size), bytes(limit)));
  const kind = file.name.toLowerCase().split(".").at(-1);
  if (kind === "npy") return readNpy(await file.arrayBuffer());
  const text = await file.text();
  return kind === "json" ? arrayOf(text, name) : readTable(text);
}

function arrayOf(text: string, name: string): Json {
  let value: Json;
  try {
    value = parseJson(text);
  } catch (error) {
    throw new UnreadableNumbers(inputTexts.json.notJson((error as Error).message));
  }
  const found = isObject(value) ? value[name] : value;
  if (!Array.isArray(found)) throw new UnreadableNumbers(inputTexts.array.noArray);
  return found;
}
