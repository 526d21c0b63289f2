import type { Preparation } from "./pixels";

/**
 * Return the RGBA pixels of a picture in the size that a model expects.
 *
 * On the page, not in a worker: the policy `trusted-types 'none'` forbids to start one. The browser decodes and
 * scales without the page's script in any case. Rejects for what is no picture.
 */
export async function pixelsOf(
  file: Blob,
  { width, height, fit }: Pick<Preparation, "width" | "height" | "fit">,
): Promise<Uint8ClampedArray> {
  const bitmap = await createImageBitmap(file);
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error("no canvas");
  context.imageSmoothingQuality = "high";
  const [across, down] = [width / bitmap.width, height / bitmap.height];
  const factor = fit === "cover" ? Math.max(across, down) : Math.min(across, down);
  const [drawnWidth, drawnHeight] =
    fit === "stretch" ? [width, height] : [bitmap.width * factor, bitmap.height * factor];
  context.drawImage(bitmap, (width - drawnWidth) / 2, (height - drawnHeight) / 2, drawnWidth, drawnHeight);
  bitmap.close();
  return context.getImageData(0, 0, width, height).data;
}
