interface TimingPart {
  name: string;
  milliseconds: number;
}

/**
 * Return the parts of a Server-Timing header, and its total.
 *
 * What the total has beyond its parts is `other`: time that no part accounts for.
 */
export function timingParts(header: string): { parts: TimingPart[]; total: number | null } {
  const parts: TimingPart[] = [];
  let total: number | null = null;
  for (const entry of header.split(",")) {
    const [name = "", ...parameters] = entry.split(";").map((text) => text.trim());
    const given = parameters.find((text) => text.startsWith("dur="));
    const milliseconds = given === undefined ? Number.NaN : Number(given.slice("dur=".length));
    if (!name || !Number.isFinite(milliseconds)) continue;
    if (name === "total") total = milliseconds;
    else parts.push({ name, milliseconds });
  }
  const known = parts.reduce((sum, part) => sum + part.milliseconds, 0);
  if (parts.length && total !== null && total > known)
    parts.push({ name: "other", milliseconds: total - known });
  return { parts, total };
}
