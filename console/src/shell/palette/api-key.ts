const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CHECKSUM_LENGTH = 6;
const START = 8;
const END = 5;
const STARS = "********";
const COMPLETE = /^sk-[0-9A-Za-z]{46}$/;
/** What can only be a key or a large part of one, which the gateway refuses as well. */
const KEYS = /sk-[0-9A-Za-z]{20,}/g;

/** Whether a text is a complete API key; `mistyped`: its checksum is wrong. */
export function keyIn(text: string): "none" | "complete" | "mistyped" {
  if (!COMPLETE.test(text)) return "none";
  const body = text.slice(0, -CHECKSUM_LENGTH);
  return checksum(body) === text.slice(-CHECKSUM_LENGTH) ? "complete" : "mistyped";
}

/** Return a text with the mask of each key in its place; of a part of a key, only its beginning is left. */
export function withoutKeys(text: string): string {
  return text.replace(
    KEYS,
    (key) => key.slice(0, START) + STARS + (COMPLETE.test(key) ? key.slice(-END) : ""),
  );
}

/** Return the CRC-32 of a key's other characters in base 62, as the gateway computes it. */
function checksum(body: string): string {
  let rest = crc32(body);
  let digits = "";
  for (let at = 0; at < CHECKSUM_LENGTH; at++) {
    digits = ALPHABET.charAt(rest % ALPHABET.length) + digits;
    rest = Math.floor(rest / ALPHABET.length);
  }
  return digits;
}

function crc32(text: string): number {
  let crc = 0xffffffff;
  for (const byte of new TextEncoder().encode(text)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}
