import type { Json } from "../formats/lossless-json";
import { inputTexts } from "../strings/inputs";
import { numberOf } from "./tensor";

/** A file or a paste that cannot be read as numbers; the message says where. */
export class UnreadableNumbers extends Error {}

/**
 * Return the rows of a table of numbers: separated by tabs, as spreadsheets copy them, by semicolons, commas or
 * spaces. A first line without any number is a heading, and left out.
 *
 * Throws UnreadableNumbers with the line and column of what is no number.
 */
export function readTable(text: string): Json[][] {
  const lines = text.replace(/^\uFEFF/, "").split(/\r\n|\r|\n/);
  while (lines.at(-1)?.trim() === "") lines.pop();
  const separator = ["\t", ";", ","].find((one) => text.includes(one)) ?? /\s+/;
  const cells = lines.map((line) => (typeof separator === "string" ? line : line.trim()).split(separator));
  const hasHeading = cells.length > 1 && cells[0]?.every((cell) => read(cell) === undefined);
  return cells.slice(hasHeading ? 1 : 0).map((row, at) =>
    row.map((cell, column) => {
      const number = read(cell);
      if (number === undefined)
        throw new UnreadableNumbers(
          inputTexts.array.noNumber(at + (hasHeading ? 2 : 1), column + 1, cell.trim()),
        );
      return number;
    }),
  );
}

function read(cell: string): Json | undefined {
  return numberOf(cell.trim().replace(/^"(.*)"$/, "$1"));
}
