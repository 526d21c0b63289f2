/** Whether two JSON values are the same; the order of members does not count. */
export function isSame(one: unknown, other: unknown): boolean {
  if (one === other) return true;
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) return false;
  if (Array.isArray(one) !== Array.isArray(other)) return false;
  const left = Object.entries(one).filter(([, value]) => value !== undefined);
  const right = Object.entries(other).filter(([, value]) => value !== undefined);
  const members = other as Record<string, unknown>;
  return left.length === right.length && left.every(([name, value]) => isSame(value, members[name]));
}
