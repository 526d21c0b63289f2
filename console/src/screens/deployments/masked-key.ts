/** How the gateway writes the mask of a key, and what it writes where there is no key. */
const MASK = /sk-[0-9A-Za-z]{0,8}\*{8}[0-9A-Za-z]{0,8}/g;

/** Return code with a complete key in place of its mask. */
export function withKey(code: string, key: string): string {
  return code.replaceAll(MASK, key);
}
