/** Return the sums of each row and those before it; what is not known adds nothing. */
export function stacked(rows: readonly (readonly (number | null)[])[]): (number | null)[][] {
  const sums: (number | null)[][] = [];
  for (const row of rows) {
    const below = sums.at(-1);
    sums.push(row.map((value, at) => (value === null ? (below?.[at] ?? null) : value + (below?.[at] ?? 0))));
  }
  return sums;
}
