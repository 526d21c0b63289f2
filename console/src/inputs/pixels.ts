import type { Json } from "../formats/lossless-json";
import { sixDigits } from "./tensor";

export const LAYOUTS = ["NCHW", "NHWC"] as const;
export const ORDERS = ["RGB", "BGR"] as const;
export const FITS = ["cover", "contain", "stretch"] as const;
export const SCALES = ["0-1", "0-255", "standard"] as const;

/** How pixels become the numbers of a tensor. */
export interface Preparation {
  width: number;
  height: number;
  /** Cut what stands out, add black, or change the proportions. */
  fit: (typeof FITS)[number];
  layout: (typeof LAYOUTS)[number];
  order: (typeof ORDERS)[number];
  /** 1 is the brightness, 4 has the opacity. */
  channels: 1 | 3 | 4;
  /** `standard`: from 0 to 1, minus the mean, divided by the standard deviation of each channel. */
  scale: (typeof SCALES)[number];
  /** By channel of the tensor. */
  mean: readonly number[];
  deviation: readonly number[];
  /** 4: with a dimension for the batch in front. */
  rank: number;
}

export interface Channel {
  name: string;
  min: number;
  mean: number;
  max: number;
}

/** What a model is given for a picture. */
export interface Seen {
  value: Json;
  channels: Channel[];
  /** The channels as red, green and blue in the order of the tensor. */
  picture: Uint8ClampedArray<ArrayBuffer>;
}

const LEVELS = 256;
/** Pixels between two looks at the clock. */
const BETWEEN_LOOKS = 16_384;
const MAX_MILLISECONDS = 30;
/** Characters of one number in a body, at most: six digits, sign, point, exponent and comma. */
const NUMBER_BYTES = 9;

/** Return about how many bytes of a body a picture takes, at most. */
export function bodyBytesOf({ width, height, channels, scale }: Preparation): number {
  return width * height * channels * (scale === "0-255" ? 4 : NUMBER_BYTES);
}

/** Return the tensor of RGBA pixels. The page is given time in between, so that it answers to other input. */
export async function prepared(pixels: Uint8ClampedArray, how: Preparation): Promise<Seen> {
  const { width, height, channels, layout } = how;
  const names = namesOf(how);
  // A channel of a pixel has one of 256 values: each becomes a number once.
  const numbers = names.map((_, channel) =>
    Array.from({ length: LEVELS }, (_, level) => scaled(level, channel, how)),
  );
  const counts = names.map(() => new Uint32Array(LEVELS));
  const planes = names.map(() => emptyRows(height));
  const rows = emptyRows(height);
  const picture = new Uint8ClampedArray(width * height * 4);
  const level = levelsOf(how);
  let began = performance.now();
  for (let y = 0; y < height; y += 1) {
    if (y % Math.ceil(BETWEEN_LOOKS / width) === 0 && performance.now() - began > MAX_MILLISECONDS) {
      await new Promise((resolve) => setTimeout(resolve));
      began = performance.now();
    }
    const planeRows = planes.map((plane) => plane[y] ?? []);
    for (let x = 0; x < width; x += 1) {
      const at = (y * width + x) * 4;
      const together: number[] = [];
      for (let channel = 0; channel < channels; channel += 1) {
        const found = level(pixels, at, channel);
        const number = numbers[channel]?.[found] ?? 0;
        const counted = counts[channel];
        if (counted) counted[found] = (counted[found] ?? 0) + 1;
        if (layout === "NCHW") planeRows[channel]?.push(number);
        else together.push(number);
        if (channel < 3) picture[at + channel] = found;
        if (channels === 1) picture.fill(found, at, at + 3);
      }
      picture[at + 3] = channels === 4 ? level(pixels, at, 3) : LEVELS - 1;
      if (layout === "NHWC") rows[y]?.push(together);
    }
  }
  const tensor: Json = layout === "NCHW" ? planes : rows;
  const found = names.map((name, channel) => channelOf(name, counts[channel] ?? [], numbers[channel] ?? []));
  return { value: how.rank === 4 ? [tensor] : tensor, channels: found, picture };
}

function emptyRows(count: number): Json[][] {
  return Array.from({ length: count }, () => []);
}

export function namesOf({ channels, order }: Preparation): string[] {
  if (channels === 1) return ["Y"];
  return [...order, ...(channels === 4 ? ["A"] : [])];
}

function levelsOf({ channels, order }: Preparation) {
  const at = (pixels: Uint8ClampedArray, place: number) => pixels[place] ?? 0;
  if (channels === 1)
    // As Pillow makes pictures of brightness: 299, 587 and 114 thousandths.
    return (pixels: Uint8ClampedArray, start: number) =>
      (at(pixels, start) * 19_595 +
        at(pixels, start + 1) * 38_470 +
        at(pixels, start + 2) * 7_471 +
        32_768) >>
      16;
  const places = order === "RGB" ? [0, 1, 2, 3] : [2, 1, 0, 3];
  return (pixels: Uint8ClampedArray, start: number, channel: number) =>
    at(pixels, start + (places[channel] ?? 0));
}

function scaled(level: number, channel: number, { scale, mean, deviation }: Preparation): number {
  if (scale === "0-255") return level;
  const share = level / (LEVELS - 1);
  if (scale === "0-1") return sixDigits(share);
  return sixDigits((share - (mean[channel] ?? 0)) / (deviation[channel] || 1));
}

function channelOf(name: string, counts: ArrayLike<number>, numbers: readonly number[]): Channel {
  const found: Channel = { name, min: Number.POSITIVE_INFINITY, mean: 0, max: Number.NEGATIVE_INFINITY };
  let [sum, total] = [0, 0];
  numbers.forEach((number, level) => {
    const count = counts[level] ?? 0;
    if (count === 0) return;
    sum += number * count;
    total += count;
    found.min = Math.min(found.min, number);
    found.max = Math.max(found.max, number);
  });
  return { ...found, mean: sum / total };
}
